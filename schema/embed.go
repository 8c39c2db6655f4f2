package schema

import "embed"

// Migrations are the SQL migrations, in goose's format.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Shapes are the JSON Schemas: json/<source or canonical>/<object>/v<version>.json.
//
//go:embed json
var Shapes embed.FS
