package checker

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Ledger is what the systems' journals say that we wrote.
type Ledger struct {
	// Writes counts effects of ours that changed something, Repeats those that were identical to what stood there.
	Writes  int `json:"writes"`
	Repeats int `json:"repeats"`
	Calls   int `json:"calls"`
	// Said counts the fields that people set in records.
	Said int `json:"said"`
	// Doubled are creations under one key that made two records (INV-03, INV-08).
	Doubled []string `json:"doubled,omitempty"`
	// Phantoms are values that nobody ever said (INV-04).
	Phantoms []string `json:"phantoms,omitempty"`
	// Backwards are writes of an older word over a newer one of ours (INV-07).
	Backwards []string `json:"backwards,omitempty"`
}

// Findings are all that does not hold.
func (l Ledger) Findings() []string {
	findings := slices.Concat(l.Doubled, l.Phantoms, l.Backwards)
	if l.Writes > l.Said {
		findings = append(findings, fmt.Sprintf("INV-09: people set %d fields, and we wrote %d times", l.Said, l.Writes))
	}
	return findings
}

// Audit reads both journals and holds every write of ours against what people said.
func (l Landscape) Audit(ctx context.Context, people []*Person) (Ledger, error) {
	var out Ledger
	said := wordsByRecord(people)
	for _, c := range l.Clients() {
		entries, err := c.Journal(ctx, 0)
		if err != nil {
			return out, err
		}
		out.audit(c.Name, entries, said)
	}
	return out, nil
}

// saidOf finds who a record is, and with it what was said about that customer.
type saidOf map[string]*Person

func wordsByRecord(people []*Person) saidOf {
	by := saidOf{}
	for _, p := range people {
		by[p.SalesforceID], by[p.GenesysID] = p, p
	}
	delete(by, "")
	return by
}

func (l *Ledger) audit(system string, entries []Entry, said saidOf) {
	made := map[string]string{}
	newest := map[string]Word{}
	for _, entry := range entries {
		if entry.Kind == "request" && !strings.Contains(entry.Route, "oauth") {
			l.Calls++
		}
		for _, e := range entry.Effects {
			if e.Object != "Contact" && e.Object != "ExternalContact" {
				continue
			}
			if e.Human {
				l.Said += len(e.Fields)
				continue
			}
			if e.Noop {
				l.Repeats++
				continue
			}
			l.Writes++
			if first := made[e.Key]; e.Op == "create" && e.Key != "" && first != "" && first != e.ID {
				l.Doubled = append(l.Doubled, fmt.Sprintf("%s made %s and %s under one key", system, first, e.ID))
			}
			if e.Op == "create" {
				made[e.Key] = e.ID
			}
			l.checkWords(system, e, said[e.ID], newest)
		}
	}
}

// checkWords holds each written value against what was said.
func (l *Ledger) checkWords(system string, e Effect, p *Person, newest map[string]Word) {
	if p == nil {
		return
	}
	for _, f := range Fields() {
		show := f.Salesforce
		if system == Genesys {
			show = f.Genesys
		}
		value := show(Record(e.Fields))
		if value == "" {
			continue
		}
		words := p.Words[f.Name]
		i := slices.IndexFunc(words, func(w Word) bool { return w.Value == value })
		if i < 0 {
			l.Phantoms = append(l.Phantoms, fmt.Sprintf("%s %s %s: nobody said %q", system, e.ID, f.Name, value))
			continue
		}
		if !f.TwoWay && words[i].System != f.Owner || timesSaid(words, value) > 1 {
			continue // a first filling gives way to the owner's word; and a word that was said twice has two times
		}
		key := e.ID + " " + f.Name
		if last, wrote := newest[key]; wrote && f.compare(words[i], last) < 0 {
			l.Backwards = append(l.Backwards, fmt.Sprintf("%s %s %s: %q after %q", system, e.ID, f.Name, value, last.Value))
		}
		newest[key] = words[i]
	}
}

func timesSaid(words []Word, value string) int {
	n := 0
	for _, w := range words {
		if w.Value == value {
			n++
		}
	}
	return n
}
