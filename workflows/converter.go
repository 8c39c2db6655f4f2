package workflows

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"unicode/utf8"

	commonpb "go.temporal.io/api/common/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/converter"

	"lockstep/activities"
	"lockstep/schema"
)

// ErrNotAReference is returned for everything that must not enter a history.
var ErrNotAReference = errors.New("workflows: only references enter a history")

// references are the only shapes that enter a history (D15). None of them has a field for a customer's data.
func references() map[reflect.Type]bool {
	set := map[reflect.Type]bool{}
	for _, v := range []any{
		ClaimInput{}, ClaimResult{}, activities.ApplyInput{}, activities.ApplyResult{}, activities.GiveBackInput{}, activities.ParkInput{}, activities.IncidentInput{}, activities.Trouble{}, activities.Empty{},
		sdkpb.WorkflowMetadata{}, sdkpb.EnhancedStackTrace{},
	} {
		set[reflect.TypeOf(v)] = true
	}
	return set
}

// DataConverter writes and reads references and refuses everything else, both ways: it needs no key to fail closed.
func DataConverter() converter.DataConverter {
	return &referenceConverter{DataConverter: converter.GetDefaultDataConverter(), allowed: references()}
}

type referenceConverter struct {
	converter.DataConverter
	allowed map[reflect.Type]bool
}

// ToPayload writes one reference.
func (c *referenceConverter) ToPayload(value any) (*commonpb.Payload, error) {
	if err := c.check(value); err != nil {
		return nil, err
	}
	return c.DataConverter.ToPayload(value)
}

// ToPayloads writes references.
func (c *referenceConverter) ToPayloads(values ...any) (*commonpb.Payloads, error) {
	for _, v := range values {
		if err := c.check(v); err != nil {
			return nil, err
		}
	}
	return c.DataConverter.ToPayloads(values...)
}

// FromPayload reads one reference and holds it against its validate tags.
func (c *referenceConverter) FromPayload(p *commonpb.Payload, to any) error {
	if err := c.checkTarget(to); err != nil {
		return err
	}
	if err := c.DataConverter.FromPayload(p, to); err != nil {
		return err
	}
	return schema.Validate(to)
}

// FromPayloads reads references and holds them against their validate tags.
func (c *referenceConverter) FromPayloads(ps *commonpb.Payloads, to ...any) error {
	for _, t := range to {
		if err := c.checkTarget(t); err != nil {
			return err
		}
	}
	if err := c.DataConverter.FromPayloads(ps, to...); err != nil {
		return err
	}
	for _, t := range to {
		if err := schema.Validate(t); err != nil {
			return err
		}
	}
	return nil
}

func (c *referenceConverter) check(value any) error {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		return checkText(v)
	case converter.RawValue:
		return checkDescription(v)
	}
	t := reflect.TypeOf(value)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !c.allowed[t] {
		return fmt.Errorf("%w, and %s is none", ErrNotAReference, t)
	}
	return nil
}

// checkDescription lets a run describe itself to Temporal's pages: the SDK hands that over in its own spelling. Nothing else
// comes so.
func checkDescription(raw converter.RawValue) error {
	var described sdkpb.WorkflowMetadata
	if string(raw.Payload().GetMetadata()[converter.MetadataMessageType]) != string(described.ProtoReflect().Descriptor().FullName()) ||
		converter.GetDefaultDataConverter().FromPayload(raw.Payload(), &described) != nil {
		return ErrNotAReference
	}
	return checkText(described.GetCurrentDetails())
}

func (c *referenceConverter) checkTarget(to any) error {
	t := reflect.TypeOf(to)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() == reflect.String || t.Kind() == reflect.Interface || c.allowed[t] {
		return nil
	}
	return fmt.Errorf("%w, and %s is none", ErrNotAReference, t)
}

var (
	anyID       = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	hexDigest   = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	likePerson  = regexp.MustCompile(`@|[0-9][0-9 ()./-]{5,}[0-9]`)
	maxSentence = 2000
)

// checkText lets our own sentences through (summaries, current details, the bundle's digest) and nothing that looks
// like an address or a number of a person.
func checkText(s string) error {
	if !utf8.ValidString(s) || len(s) > maxSentence {
		return ErrNotAReference
	}
	if likePerson.MatchString(hexDigest.ReplaceAllString(anyID.ReplaceAllString(s, ""), "")) {
		return ErrNotAReference
	}
	return nil
}
