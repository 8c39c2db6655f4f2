package genesystest

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// acceptPhone turns a phone as it was sent into the one that is stored: display, e164, countryCode and what was typed.
// A number that cannot be read is kept as it is shown and found by no look-up.
func (s *Simulator) acceptPhone(name string, raw any) (any, *apiError) {
	in, ok := raw.(map[string]any)
	if !ok {
		return nil, badRequest("The field " + name + " must be a phone number object.")
	}
	for member := range in {
		switch member {
		case "display", "extension", "acceptsSMS", "normalizationCountryCode", "userInput", "e164", "countryCode":
		default:
			return nil, badRequest("Unknown field \"" + name + "." + member + "\".")
		}
	}
	e164, _ := in["e164"].(string)
	display, _ := in["display"].(string)
	typed, _ := in["userInput"].(string)
	if e164 != "" && !strings.HasPrefix(e164, "+") {
		return nil, unprocessable(name+".e164", "The phone number must start with a + and the country code.")
	}
	source := firstOf(e164, typed, display)
	if source == "" {
		return nil, nil // an empty phone object is no phone
	}
	out := map[string]any{}
	for _, member := range []string{"extension", "acceptsSMS", "normalizationCountryCode"} {
		if in[member] != nil {
			out[member] = in[member]
		}
	}
	region, _ := in["normalizationCountryCode"].(string)
	number, ok := s.parsePhone(source, firstOf(region, s.options.Region))
	if !ok {
		if e164 != "" {
			return nil, unprocessable(name+".e164", "The phone number is not a valid E.164 number.")
		}
		out["display"], out["userInput"] = firstOf(display, source), source
		return out, nil
	}
	out["e164"] = phonenumbers.Format(number, phonenumbers.E164)
	out["display"] = phonenumbers.Format(number, phonenumbers.INTERNATIONAL)
	out["countryCode"] = countryOf(number)
	if typed := firstOf(typed, display); typed != "" && typed != out["display"] {
		out["userInput"] = typed
	}
	return out, nil
}

func (s *Simulator) parsePhone(text, region string) (*phonenumbers.PhoneNumber, bool) {
	number, err := phonenumbers.Parse(strings.TrimPrefix(text, "tel:"), region)
	return number, err == nil && phonenumbers.IsPossibleNumber(number)
}

// countryOf names the number's country; a number that is only possible counts to its calling code's main country.
func countryOf(n *phonenumbers.PhoneNumber) string {
	if region := phonenumbers.GetRegionCodeForNumber(n); region != "" && region != "ZZ" {
		return region
	}
	return phonenumbers.GetRegionCodeForCountryCode(int(n.GetCountryCode()))
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
