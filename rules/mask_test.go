package rules

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// issuers are heads and lengths of card numbers, from the issuers' own pages and ISO/IEC 7812.
var issuers = []struct {
	name, head string
	lengths    []int
}{
	{"Visa", "4", []int{13, 16, 19}},
	{"Mastercard", "51", []int{16}}, {"Mastercard", "55", []int{16}}, {"Mastercard", "2221", []int{16}}, {"Mastercard", "2720", []int{16}},
	{"American Express", "34", []int{15}}, {"American Express", "37", []int{15}},
	{"Diners Club", "36", []int{14, 16, 19}}, {"Diners Club", "300", []int{14}}, {"Diners Club", "38", []int{14}},
	{"Discover", "6011", []int{16, 19}}, {"Discover", "65", []int{16}}, {"JCB", "3528", []int{16, 19}}, {"JCB", "3589", []int{16}},
	{"UnionPay", "62", []int{16, 17, 18, 19}}, {"Maestro", "5018", []int{13, 16, 19}}, {"Maestro", "6759", []int{14, 15, 16, 18}},
	{"Mir", "2200", []int{16}}, {"RuPay", "82", []int{16}}, {"RuPay", "508", []int{16}}, {"Troy", "9792", []int{16}}, {"UATP", "1", []int{15}},
}

// card returns a synthetic card number.
func card(random *rand.Rand) string {
	issuer := issuers[random.IntN(len(issuers))]
	length := issuer.lengths[random.IntN(len(issuer.lengths))]
	number := []byte(issuer.head)
	for len(number) < length-1 {
		number = append(number, byte('0'+random.IntN(10)))
	}
	for check := byte('0'); ; check++ {
		if with := append(number, check); checked(string(with)) {
			return string(with)
		}
	}
}

// checked is the check digit rule as ISO/IEC 7812 words it, from the left.
func checked(number string) bool {
	sum := 0
	for i, c := range number {
		d := int(c - '0')
		if (len(number)-i)%2 == 0 {
			d = d*2/10 + d*2%10
		}
		sum += d
	}
	return sum%10 == 0
}

// spread writes separators into a number.
func spread(random *rand.Rand, number string) string {
	separators := []string{" ", "-", ".", "/", "_", "\u00a0", "\u2009", "–", "\u2011", "  ", " - ", "·"}
	one := separators[random.IntN(len(separators))]
	switch random.IntN(5) {
	case 0:
		return number
	case 1: // fours
		var b strings.Builder
		for i := range number {
			if i > 0 && i%4 == 0 {
				b.WriteString(one)
			}
			b.WriteByte(number[i])
		}
		return b.String()
	case 2: // as American Express prints it
		return number[:4] + one + number[4:10] + one + number[10:]
	case 3: // each digit alone
		return strings.Join(strings.Split(number, ""), one)
	default: // anyhow
		var b strings.Builder
		for i := range number {
			if i > 0 && random.IntN(4) == 0 {
				b.WriteString(separators[random.IntN(len(separators))])
			}
			b.WriteByte(number[i])
		}
		return b.String()
	}
}

// around are texts that a number may stand in; clean ones hold no digit near it.
var around = []struct {
	before, after string
	clean         bool
}{
	{"", "", true}, {"card ", "", true}, {"", " is my card", true}, {"My card is ", ", thank you.", true}, {"(", ")", true}, {`{"note":"`, `"}`, true},
	{"Visa", "", true}, {"PAN:", ";", true}, {"line\n", "\nline", true}, {"<b>", "</b>", true}, {"https://x.example/pay?pan=", "&a=b", true}, {"é", "é", true},
	{"# ", "!", true}, {"'", "'", true}, {"\t", "\r\n", true}, {"a=", "|b", true},
	{"order 12: ", " exp: 12/27", false}, {"12 ", " 345", false}, {"7-", "-8", false}, {"call +1 317 555 0100, card ", "", false}, {"2026-10-27 ", "", false},
	{"1/2 ", " 3/4", false}, {"0", "", false},
}

func TestB13CardsAreMasked(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 1))
	placed := 0
	for placed < 10_000 {
		number := card(random)
		written := spread(random, number)
		place := around[random.IntN(len(around))]
		if place.before == "0" {
			continue // a digit right before makes another number of it
		}
		placed++
		text := place.before + written + place.after
		masked := MaskText(text)
		hidden := strings.Map(func(r rune) rune {
			if '0' <= r && r <= '9' {
				return 'X'
			}
			return r
		}, written)
		if place.clean && masked != place.before+hidden+place.after {
			t.Fatalf("%q became %q", text, masked)
		}
		if !strings.Contains(masked, hidden) {
			t.Fatalf("%q became %q", text, masked)
		}
	}
	t.Logf("B13: %d cards", placed)
}

func TestB13SocialSecurityNumbersAreMasked(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 2))
	placed := 0
	for placed < 10_000 {
		separator := []string{"-", " ", "–", "\u2011", "\u00a0", "−"}[random.IntN(6)]
		number := fmt.Sprintf("%03d%s%02d%s%04d", random.IntN(1000), separator, random.IntN(100), separator, random.IntN(10_000))
		place := around[random.IntN(len(around))]
		if !place.clean {
			continue
		}
		placed++
		text := place.before + number + place.after
		if masked := MaskText(text); masked != place.before+"XXX-XX-XXXX"+place.after {
			t.Fatalf("%q became %q", text, masked)
		}
	}
	text := "one 123-45-6789, two 987-65-4321 and 4111 1111 1111 1111."
	if masked := MaskText(text); masked != "one XXX-XX-XXXX, two XXX-XX-XXXX and XXXX XXXX XXXX XXXX." {
		t.Errorf("%q", masked)
	}
	t.Logf("B13: %d social security numbers", placed)
}

func TestB13OtherTextIsLeftAlone(t *testing.T) {
	for _, text := range []string{
		"", "x", "12345678", "no digits at all", "4111111111111112", "1234567890123", "1763606400000", "1763606400000000", "1763606400000000000",
		"41111111111111111111", "+4111111111111", "123-456-7890", "1234-56-7890", "123-45-67890", "123.45.6789", "123/45/6789", "123-45 6789", "12-345-6789", "123-4-56789",
		"2026-10-27T14:30:00.123456789Z", "192.168.100.200:5432", "£1,234,567.89", "dl-1234 inc-2417", "sync/case/5c0e2a66-1b0c-4d57-9b1e-0a6a44a3a5e4", "(317) 555-0100",
		"+1 317 555 0100", "0044 20 7946 0958", "é" + strings.Repeat("x", 100),
	} {
		if masked := MaskText(text); masked != text {
			t.Errorf("%q became %q", text, masked)
		}
	}
}

func TestB13BenignIDsAreLeftAlone(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 3))
	from := func(letters string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	kinds := map[string]func() string{
		"uuid v4": func() string {
			var id uuid.UUID
			copy(id[:], from("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xab\xcd\xef\x10\x32\x54", 16))
			id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
			return id.String()
		},
		"uuid v7": func() string {
			return fmt.Sprintf("0199%s-%s-7%s-8%s-%s", from("0123456789abcdef", 4), from("0123456789", 4), from("0123456789", 3), from("0123456789", 3), from("0123456789abcdef", 12))
		},
		"salesforce 15": func() string { return []string{"001", "003", "500", "a0B"}[random.IntN(4)] + from(base62, 12) },
		"salesforce 18": func() string { return "5005f00000" + from(base62, 5) + from("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", 3) },
		"E.164":         func() string { return "+" + from("123456789", 1) + from("0123456789", 6+random.IntN(8)) },
		"phone digits":  func() string { return from("0123456789", 7+random.IntN(6)) },
		"milliseconds":  func() string { return fmt.Sprint(1_700_000_000_000 + random.IntN(200_000_000_000)) },
		"time": func() string {
			return fmt.Sprintf("2026-%02d-%02dT%02d:%02d:%02d.%03dZ", 1+random.IntN(12), 1+random.IntN(28), random.IntN(24), random.IntN(60), random.IntN(60), random.IntN(1000))
		},
		"workflow":         func() string { return "sync/customer/" + uuid.NewString() + "/" + uuid.NewString() },
		"standard hook":    func() string { return "msg_" + from(base62, 24) },
		"zendesk, genesys": func() string { return from("123456789", 1) + from("0123456789", 5+random.IntN(6)) },
	}
	changed, total := 0, 0
	for kind, make := range kinds {
		touched := 0
		for range 100_000 / len(kinds) {
			total++
			id := make()
			text := "Could not write " + id + " to Genesys"
			if masked := MaskText(text); masked != text {
				touched++
			}
		}
		t.Logf("B13: %-18s %d touched", kind, touched)
		changed += touched
	}
	t.Logf("B13: %d of %d benign ids touched", changed, total)
	if changed*10_000 > total {
		t.Error("more than one in ten thousand")
	}
}

func TestMaskValueShowsTheShapeOnly(t *testing.T) {
	for value, want := range map[string]string{
		"":                                "",
		"Jane Roe":                        "xxxx xxx",
		"jane.roe@example.com":            "xxxx.xxx@xxxxxxx.xxx",
		"+1 (317) 555-0100":               "+9 (999) 999-9999",
		"123-45-6789":                     "999-99-9999",
		"Zoë Ångström":                    "xxx xxxxxxxx",
		"e\u0301":                         "xx",
		"日本 ٣":                            "xx 9",
		"a\nb\x1b[31m\x00\u202e":          "x?x?[99x??",
		"\xff":                            "?",
		"😀":                               "?",
		strings.Repeat("a", 24):           strings.Repeat("x", 24),
		strings.Repeat("a", 25):           strings.Repeat("x", 23) + "…",
		strings.Repeat("1", 1_000_000):    strings.Repeat("9", 23) + "…",
		"4111 1111 1111 1111 and another": "9999 9999 9999 9999 xxx…",
	} {
		if got := MaskValue(value); got != want {
			t.Errorf("%.30q: %q, want %q", value, got, want)
		}
	}
}

func FuzzMaskText(f *testing.F) {
	f.Add("card 4111 1111 1111 1111, 123-45-6789, 0000017c-1d2f-4e6a-9d0c-3a8b7e5f1c24")
	f.Add("+4111111111111\xff1-2")
	f.Fuzz(func(t *testing.T, text string) {
		masked := MaskText(text)
		if again := MaskText(masked); again != masked {
			t.Fatalf("%q, masked again %q", masked, again)
		}
		_ = MaskValue(text)
	})
}

func BenchmarkMaskText(b *testing.B) {
	text := strings.Repeat("Customer called at 14:05 on 2026-10-27 about order 0000017c-1d2f-4e6a-9d0c-3a8b7e5f1c24. ", 10)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		MaskText(text)
	}
}
