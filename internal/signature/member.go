package signature

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/gowebpki/jcs"

	"lockstep/internal/strictjson"
)

// detach takes the signature out of a body and returns it with the canonical form (RFC 8785) of the rest. The body must
// be readable in one way only, so the strict scan comes first; and its numbers must be doubles, because the canonical
// form writes them as such: 12345678901234567890 and 12345678901234567891 would carry one signature. Senders of such
// numbers spell them as strings. Source: reliability A32, ruling 5.
func detach(body []byte, member string) (signature string, content []byte, cause Cause) {
	if strictjson.Scan(body, strictjson.Limits{}) != nil {
		return "", nil, MalformedBody
	}
	tree, err := strictjson.Decode(body)
	if err != nil {
		return "", nil, MalformedBody
	}
	if _, isObject := tree.(map[string]any); !isObject || !doubles(tree) {
		return "", nil, MalformedBody
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return "", nil, MalformedBody
	}
	raw, ok := members[member]
	if !ok {
		return "", nil, MissingSignature
	}
	if raw[0] != '"' {
		return "", nil, MalformedSignature
	}
	signature, ok = strictjson.Text(raw)
	switch {
	case !ok:
		return "", nil, MalformedSignature
	case signature == "":
		return "", nil, MissingSignature
	}
	delete(members, member)
	rest, err := json.Marshal(members)
	if err != nil {
		return "", nil, MalformedBody
	}
	content, err = jcs.Transform(rest)
	if err != nil {
		return "", nil, MalformedBody
	}
	return signature, content, ""
}

// doubles reports whether every number of a tree is worth what its nearest double is written as.
func doubles(tree any) bool {
	switch node := tree.(type) {
	case json.Number:
		return isDouble(string(node))
	case []any:
		for _, element := range node {
			if !doubles(element) {
				return false
			}
		}
	case map[string]any:
		for _, member := range node {
			if !doubles(member) {
				return false
			}
		}
	}
	return true
}

func isDouble(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return false
	}
	digits, exponent := worth(number)
	written, writtenExponent := worth(strconv.FormatFloat(f, 'e', -1, 64))
	return digits == written && exponent == writtenExponent
}

// worth returns a number's digits from the first to the last that is not zero, and the power of ten of the first. The
// sign is left out: it cannot differ, but for zero, where it does not count.
func worth(number string) (digits string, exponent int) {
	mantissa, power, scientific := strings.Cut(strings.ToLower(strings.TrimPrefix(number, "-")), "e")
	if scientific {
		exponent, _ = strconv.Atoi(power) // the scan bounds it
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "", 0
	}
	exponent += len(whole) - 1 - (len(whole) + len(fraction) - len(digits))
	return strings.TrimRight(digits, "0"), exponent
}
