package checker

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestEveryFormIsFound plants canaries as programs would write them, at any place in any noise.
func TestEveryFormIsFound(t *testing.T) {
	writers := map[string]func(before, value string) []byte{
		"raw": func(before, value string) []byte { return []byte(before + value) },
		"base64": func(before, value string) []byte {
			return []byte(base64.StdEncoding.EncodeToString([]byte(before + value + "}")))
		},
		"base64url": func(before, value string) []byte {
			return []byte(base64.RawURLEncoding.EncodeToString([]byte(before + value + "}")))
		},
		"hex": func(before, value string) []byte { return []byte(hex.EncodeToString([]byte(before + value))) },
		"URL": func(before, value string) []byte { return []byte(url.QueryEscape(before) + url.QueryEscape(value)) },
		"JSON": func(before, value string) []byte {
			text, err := json.Marshal(map[string]string{"a": before + value})
			if err != nil {
				panic(err)
			}
			return text
		},
		"Go":     func(_, value string) []byte { return fmt.Appendf(nil, "%+q", value) },
		"UTF-16": func(_, value string) []byte { return utf16LE(value) },
	}
	canaries := []Canary{
		{"phone", "+13175550142"}, {"e-mail", "canary.mail+1@example.com"}, {"name", "Zoë Canary-Fjord"}, {"SSN", "078-05-1120"}, {"note", `says "hush" & <b>`},
	}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(canaries).Draw(t, "canary")
		way := rapid.SampledFrom(slices.Sorted(func(yield func(string) bool) {
			for name := range writers {
				if !yield(name) {
					return
				}
			}
		})).Draw(t, "way")
		before := rapid.StringMatching(`[a-z{":]{0,9}`).Draw(t, "before")
		noise := rapid.SliceOf(rapid.Byte()).Draw(t, "noise")
		content := slices.Concat(noise, writers[way](before, c.Value), noise)
		leaks := Search("sink", content, canaries)
		if !slices.ContainsFunc(leaks, func(l Leak) bool { return l.Canary == c.Name }) {
			t.Fatalf("%s written as %s after %q is not found", c.Name, way, before)
		}
	})
}

func TestDigitsAreFoundWithoutTheirSeparators(t *testing.T) {
	for _, text := range []string{"078051120", "tel=13175550142", "3175550142 "} {
		if len(Search("sink", []byte(text), []Canary{{"phone", "+13175550142"}, {"SSN", "078-05-1120"}})) == 0 {
			t.Errorf("nothing is found in %s", text)
		}
	}
	if leaks := Search("sink", bytes.Repeat([]byte("0123456789abcdef"), 1000), []Canary{{"phone", "+13175550142"}, {"name", "Ada Canary"}}); len(leaks) > 0 {
		t.Errorf("found %v where there is nothing", leaks)
	}
}
