package signature

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// hostile are spellings that no format takes.
var hostile = []string{
	"", " ", "\t", "0x6560a0c0", "0b1", "0o17", "1e9", "1E9", "1.7e9", "NaN", "nan", "Infinity", "-Infinity", "null", "now", "true", "-", "+", ".", "--1", "+-1",
	"1763640000.0", "1763640000.5", "1763640000,5", "1_763_640_000", "1 763 640 000", "1763640000s", "s1763640000", "1763640000\x00", "\x001763640000",
	"１７６３６４００００", "١٧٦٣٦٤٠٠٠٠", "4611686018427387904", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
	"-4611686018427387904", "-9223372036854775808", "99999999999999999999999999", "253402300800000", "[1763640000]", `"1763640000"`, "1763640000;1763640000", "%31",
	"Fri, 20 Nov 2026 12:00:00 GMT", "2026-11-20", "2026-11-20 12:00:00", "2026-11-20T12:00:00", "20261120T120000Z",
}

// A08: every format refuses what is no plain time, and honours five minutes to both sides. Each request is signed
// rightly, so only the time decides.
func TestA08Timestamps(t *testing.T) {
	in := func(d time.Duration) time.Time { return noon.Add(d) }
	tables := map[string]map[string]Cause{seconds: {}, milliseconds: {}, iso8601: {}}
	for format, table := range tables {
		for _, text := range hostile {
			table[text] = MalformedTimestamp
		}
		table[""] = MissingTimestamp
		table["253402300799999999"] = MalformedTimestamp
		for around, want := range map[time.Duration]Cause{
			0: "", time.Second: "", -time.Second: "", 299 * time.Second: "", -299 * time.Second: "", 300 * time.Second: "", -300 * time.Second: "",
			301 * time.Second: Future, -301 * time.Second: Stale, time.Hour: Future, -time.Hour: Stale, 100 * 365 * 24 * time.Hour: Future, -50 * 365 * 24 * time.Hour: Stale,
		} {
			at := in(around)
			switch format {
			case seconds:
				table[unixSeconds(at)] = want
			case milliseconds:
				table[unixMillis(at)] = want
			default:
				table[zulu(at)] = want
				table[at.In(time.FixedZone("", 3600)).Format(time.RFC3339)] = want
				table[at.Format("2006-01-02T15:04:05.000Z")] = want
			}
		}
		if format != iso8601 {
			now := strconv.FormatInt(map[string]int64{seconds: noon.Unix(), milliseconds: noon.UnixMilli()}[format], 10)
			for _, text := range []string{"0" + now, "00", "01", "+" + now, "-" + now, " " + now, now + " ", now + "\n", now + ".0", now + "e0", "0x" + now, now + now} {
				table[text] = MalformedTimestamp
			}
			table["0"], table["1"], table["9"] = Stale, Stale, Stale
		}
	}
	tables[seconds]["253402300799"], tables[seconds]["253402300800"], tables[seconds][unixMillis(noon)] = Future, MalformedTimestamp, MalformedTimestamp
	tables[milliseconds]["253402300799999"], tables[milliseconds][unixSeconds(noon)] = Future, Stale
	tables[milliseconds][strconv.FormatInt(noon.UnixMilli()+300_001, 10)] = Future
	tables[milliseconds][strconv.FormatInt(noon.UnixMilli()-300_001, 10)] = Stale
	for text, want := range map[string]Cause{
		"2026-11-20T12:00:00,5Z": MalformedTimestamp, "2026-11-20t12:00:00z": MalformedTimestamp, "2026-11-20T12:00Z": MalformedTimestamp, "2026-11-20T12:00:60Z": MalformedTimestamp,
		"2026-11-20T24:00:00Z": MalformedTimestamp, "2026-13-20T12:00:00Z": MalformedTimestamp, "2026-02-30T12:00:00Z": MalformedTimestamp, "2026-11-20T1:00:00Z": MalformedTimestamp,
		"2026-11-20T12:00:00+0100": MalformedTimestamp, "2026-11-20T12:00:00+24:00": MalformedTimestamp, "2026-11-20T12:00:00+01:60": MalformedTimestamp, "2026-11-20T12:00:00 Z": MalformedTimestamp,
		"+2026-11-20T12:00:00Z": MalformedTimestamp, "-2026-11-20T12:00:00Z": MalformedTimestamp, "12026-11-20T12:00:00Z": MalformedTimestamp, "26-11-20T12:00:00Z": MalformedTimestamp,
		" 2026-11-20T12:00:00Z": MalformedTimestamp, "2026-11-20T12:00:00Z ": MalformedTimestamp, "2026-11-20T12:00:00ZZ": MalformedTimestamp, "2026-11-20T12:00:00.Z": MalformedTimestamp,
		"2026-11-20T12:00:00-00:00": "", "2026-11-20T12:00:00.999999999Z": "", "9999-12-31T23:59:59Z": Future, "0000-01-01T00:00:00Z": Stale, "0001-01-01T00:00:00Z": Stale,
		unixSeconds(noon): MalformedTimestamp, unixMillis(noon): MalformedTimestamp,
	} {
		tables[iso8601][text] = want
	}

	random := rand.New(rand.NewPCG(8, 8))
	total := 0
	for _, s := range senders {
		if s.time == nil {
			continue
		}
		secret := s.secret(random)
		v := verifier(t, s.source, atNoon, secret)
		table := tables[v.scheme.timestampFormat]
		if len(table) < 60 {
			t.Errorf("only %d times for %s", len(table), v.scheme.timestampFormat)
		}
		for text, want := range table {
			total++
			m := s.draw(random, noon)
			m.timestamp = text
			signed, err := v.Verify(s.sign(secret, m))
			if cause, _ := CauseOf(err); cause != want {
				t.Errorf("%s: %q: %q, want %q", s.name, text, cause, want)
			}
			if err == nil && signed.At.Sub(noon).Abs() > 5*time.Minute {
				t.Errorf("%s: %q signed at %s", s.name, text, signed.At)
			}
		}
	}
	t.Logf("A08: %d timestamps over all profiles", total)
}
