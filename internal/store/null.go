package store

import "lockstep/schema"

// uuidOrNull reads a uuid column that may be null.
type uuidOrNull struct {
	ID    schema.ID
	Valid bool
}

// Scan reads a uuid or null.
func (u *uuidOrNull) Scan(src any) error {
	if src == nil {
		*u = uuidOrNull{}
		return nil
	}
	u.Valid = true
	return u.ID.Scan(src)
}

// uuidText returns what writes the id, nil for the zero id.
func uuidText(id schema.ID) any {
	if id == (schema.ID{}) {
		return nil
	}
	return id.String()
}

// textOrNil returns nil for the empty text.
func textOrNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}
