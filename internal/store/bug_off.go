//go:build !bug_plain_column

package store

// sealing is where the build bug_plain_column forgets to seal.
func sealing(s Sealer) Sealer { return s }
