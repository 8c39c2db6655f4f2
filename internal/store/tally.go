package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/lib/pq"
)

// tallyKey is what is counted: outcomes and the like by source.
type tallyKey struct {
	source string
	what   string
}

// count adds to the tallies of this connection, in the transaction of what it counts. A row belongs to one backend at a
// time, so that nobody waits for another; readers sum them up (protocol F24).
func (t *tx) count(ctx context.Context, n map[tallyKey]int64) error {
	keys := make([]tallyKey, 0, len(n))
	for k, by := range n {
		if by != 0 {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.SortFunc(keys, func(a, b tallyKey) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.what, b.what))
	})
	var sources, whats []string
	var by []int64
	for _, k := range keys {
		sources, whats, by = append(sources, k.source), append(whats, k.what), append(by, n[k])
	}
	_, err := t.do(ctx, `INSERT INTO tally (process, minute, source, what, n)
SELECT pg_backend_pid(), date_trunc('minute', now()), * FROM unnest($1::text[], $2::text[], $3::bigint[])
ON CONFLICT (process, minute, source, what) DO UPDATE SET n = tally.n + excluded.n`, pq.Array(sources), pq.Array(whats), pq.Array(by))
	return err
}
