package integrationmap_test

import "github.com/goccy/go-yaml"

// toJSON returns a map's text as JSON.
func toJSON(text []byte) ([]byte, error) { return yaml.YAMLToJSON(text) }
