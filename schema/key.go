package schema

// Key is one match key of a record.
type Key struct {
	// Kind is email or phone, which are compared across fields and systems, or the name of the field, within which
	// everything else is compared.
	Kind   string
	Issuer string
	Value  Value
	// Reserves says that two records never share the value.
	Reserves bool
}

// Candidate is another record that shares a match key.
type Candidate struct {
	Record ID
	// Shares is the position of the strongest key that it shares; -1 when a system holds its id for the record.
	Shares int
	// Live are the systems that have the other record.
	Live []string
	// Contradicts is set when it has another value in a stronger key that the record has, too, or already stands for
	// somebody else.
	Contradicts bool
}
