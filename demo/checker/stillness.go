package checker

import (
	"context"
	"fmt"
	"time"
)

// Still returns what we do to the systems within a window in which nobody else says anything: a change that goes back and
// forth between them never comes to rest (INV-09).
func (l Landscape) Still(ctx context.Context, window time.Duration) (findings []string, err error) {
	ends := map[string]int{}
	for _, c := range l.Clients() {
		entries, err := c.Journal(ctx, 0)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			ends[c.Name] = entries[len(entries)-1].N
		}
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(window):
	}
	for _, c := range l.Clients() {
		entries, err := c.Journal(ctx, ends[c.Name])
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			for _, e := range entry.Effects {
				if !e.Human {
					findings = append(findings, fmt.Sprintf("INV-09: %s: %s of %s %s although nobody said anything", c.Name, e.Op, e.Object, e.ID))
				}
			}
		}
	}
	return findings, nil
}

// Unique returns which of our ids a system's live records share (INV-08).
func (l Landscape) Unique(ctx context.Context, but Others) (findings []string, err error) {
	contacts, externals, err := l.records(ctx, but)
	if err != nil {
		return nil, err
	}
	for system, ids := range map[string][]string{
		Salesforce: texts(contacts, func(r Record) string { return r.Text("Ext_Id__c") }),
		Genesys:    texts(externals, func(r Record) string { return ExternalID(r, SourceLockstep) }),
	} {
		times := map[string]int{}
		for _, id := range ids {
			if times[id]++; id != "" && times[id] == 2 {
				findings = append(findings, fmt.Sprintf("INV-08: %s has two live records under %s", system, id))
			}
		}
	}
	return findings, nil
}

func texts(records []Record, of func(Record) string) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = of(r)
	}
	return out
}
