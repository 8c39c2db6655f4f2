package rules

import (
	"encoding/json"
	"math/big"
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/nyaruka/phonenumbers"

	"lockstep/schema"
)

// NormVersion numbers the spelling rules of match keys. A change of a spelling is a new number: keys of two versions
// are never compared (protocol F16).
const NormVersion = 1

const (
	defaultMaxLength = 1000
	timestampLayout  = "2006-01-02T15:04:05.000Z"
	dateLayout       = "2006-01-02"
)

// broken says which rule a value breaks.
type broken struct {
	reason schema.Reason
	rule   string
	remedy string
}

// normalize spells a raw vendor value canonically. Spelling twice gives the same (G03). Empty text is null.
func normalize(t schema.FieldType, raw any, region string, maxLength int) (schema.Value, *broken) {
	text, null, ok := literal(raw)
	if !ok {
		return schema.Null, &broken{schema.ReasonBadValue, "is text, a number, a boolean or null", "send a plain value"}
	}
	if text = strings.TrimFunc(text, unicode.IsSpace); null || text == "" {
		return schema.Null, nil
	}
	if maxLength == 0 {
		maxLength = defaultMaxLength
	}
	if utf8.RuneCountInString(text) > maxLength {
		return schema.Null, &broken{schema.ReasonBadValue, "has at most " + strconv.Itoa(maxLength) + " characters", "shorten it"}
	}
	spell, problem := spellings[t](text, region)
	if problem != nil {
		return schema.Null, problem
	}
	return schema.Text(spell), nil
}

var spellings = map[schema.FieldType]func(text, region string) (string, *broken){
	schema.TypeText:        func(text, _ string) (string, *broken) { return text, nil },
	schema.TypeCanonicalID: spellCanonicalID,
	schema.TypeEmail:       spellEmail,
	schema.TypePhone:       spellPhone,
	schema.TypeTimestamp:   spellTimestamp,
	schema.TypeDate:        spellDate,
	schema.TypeInteger:     spellInteger,
	schema.TypeDecimal:     spellDecimal,
	schema.TypeBoolean:     spellBoolean,
}

// literal returns a JSON scalar as text.
func literal(raw any) (text string, null, ok bool) {
	switch v := raw.(type) {
	case nil:
		return "", true, true
	case string:
		return v, false, true
	case json.Number:
		return v.String(), false, true
	case bool:
		return strconv.FormatBool(v), false, true
	}
	return "", false, false
}

// spellCanonicalID keeps whatever stands in the id field: a foreign value there is overwritten, not refused.
func spellCanonicalID(text, _ string) (string, *broken) {
	if id, err := uuid.Parse(text); err == nil {
		return id.String(), nil
	}
	return text, nil
}

// spellEmail folds case in the whole address: no mail system in use tells mailboxes apart by case.
func spellEmail(text, _ string) (string, *broken) {
	a, err := mail.ParseAddress(text)
	if err != nil || a.Name != "" || len(a.Address) > 254 || !strings.Contains(a.Address, "@") || strings.ContainsAny(text, "<>\"\\ ") {
		return "", &broken{schema.ReasonBadEmail, "is an e-mail address as in RFC 5321", "send name@domain, or null to empty the field"}
	}
	local, domain, _ := strings.Cut(a.Address, "@")
	if len(local) > 64 || !strings.Contains(domain, ".") && !strings.HasPrefix(domain, "[") {
		return "", &broken{schema.ReasonBadEmail, "is an e-mail address as in RFC 5321", "send name@domain, or null to empty the field"}
	}
	return strings.ToLower(a.Address), nil
}

// spellPhone gates on numbers that are possible, not on those that are assigned (ruling 3), and demands the plus sign
// and 8 to 15 digits of its own spelling (ruling 2).
func spellPhone(text, region string) (string, *broken) {
	impossible := &broken{schema.ReasonBadPhone, "is a possible phone number, in E.164 or as dialled in " + region,
		"send it with + and country code, or null to empty the field"}
	if rest, ok := strings.CutPrefix(strings.ToLower(text), "tel:"); ok {
		text = rest
	}
	if strings.HasPrefix(text, "00") {
		// No numbering plan has national numbers that begin 00; every sender that writes it means +.
		text = "+" + text[2:]
	}
	n, err := phonenumbers.Parse(text, region)
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return "", impossible
	}
	spelt := phonenumbers.Format(n, phonenumbers.E164)
	if digits := len(spelt) - 1; spelt[0] != '+' || digits < 8 || digits > 15 {
		return "", impossible
	}
	return spelt, nil
}

// PhoneValid reports whether the number is an assigned one: a signal of quality, never a gate (ruling 3).
func PhoneValid(v schema.Value) bool {
	n, err := phonenumbers.Parse(v.Reveal(), "ZZ")
	return err == nil && phonenumbers.IsValidNumber(n)
}

var timestampLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999-0700", "2006-01-02T15:04:05-0700"}

func spellTimestamp(text, _ string) (string, *broken) {
	for _, layout := range timestampLayouts {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1 && t.Year() <= 9999 {
			return t.UTC().Format(timestampLayout), nil
		}
	}
	return "", &broken{schema.ReasonBadDate, "is a time with zone, as in RFC 3339", "send it like 2026-01-31T12:00:00Z"}
}

func spellDate(text, _ string) (string, *broken) {
	if t, err := time.Parse(dateLayout, text); err == nil {
		return t.Format(dateLayout), nil
	}
	return "", &broken{schema.ReasonBadDate, "is a date, as in ISO 8601", "send it like 2026-01-31"}
}

func spellInteger(text, _ string) (string, *broken) {
	spelt, problem := spellDecimal(text, "")
	if problem != nil || strings.Contains(spelt, ".") {
		return "", &broken{schema.ReasonBadValue, "is a whole number", "send it without fraction"}
	}
	return spelt, nil
}

// spellDecimal keeps every digit: no float is involved (A11).
func spellDecimal(text, _ string) (string, *broken) {
	problem := &broken{schema.ReasonBadValue, "is a decimal number of at most 38 digits", "send it like 1234.56"}
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(text), "e")
	if e, err := strconv.Atoi(exponent); scientific && (err != nil || e < -40 || e > 40) || len(mantissa) > 80 {
		return "", problem
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok || strings.ContainsAny(text, "/_xXbBoOpP") {
		return "", problem
	}
	digits, exact := r.FloatPrec()
	if !exact || digits > 38 {
		return "", problem
	}
	spelt := r.FloatString(digits)
	if len(strings.TrimLeft(strings.Replace(spelt, ".", "", 1), "-0")) > 38 {
		return "", problem
	}
	if spelt == "-0" {
		spelt = "0"
	}
	return spelt, nil
}

func spellBoolean(text, _ string) (string, *broken) {
	switch strings.ToLower(text) {
	case "true":
		return "true", nil
	case "false":
		return "false", nil
	}
	return "", &broken{schema.ReasonBadValue, "is true or false", "send a JSON boolean"}
}

// typed turns a canonical value into the JSON scalar of its type.
func typed(t schema.FieldType, v schema.Value) any {
	if v.IsNull() {
		return nil
	}
	switch t {
	case schema.TypeInteger, schema.TypeDecimal:
		return json.Number(v.Reveal())
	case schema.TypeBoolean:
		return v.Reveal() == "true"
	case schema.TypeText, schema.TypeEmail, schema.TypePhone, schema.TypeTimestamp, schema.TypeDate, schema.TypeCanonicalID:
	}
	return v.Reveal()
}
