package intake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/connectors"
	"lockstep/internal/payload"
	"lockstep/internal/signature"
	"lockstep/internal/strictjson"
	"lockstep/rules"
	"lockstep/schema"
)

const defaultMaxBody = 256 << 10

// Source is one path /webhooks/{source}, wired.
type Source struct {
	Name     string
	Def      schema.Source
	Verifier *signature.Verifier
	Envelope connectors.Envelope
	// Covers says what the signature proves.
	Covers signature.Covers
	// Rulesets are by our object's name.
	Rulesets map[string]*rules.Ruleset
	Owners   map[string]string
	Shapes   *payload.Catalogue

	recordID *regexp.Regexp
}

var plainRecordID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// prepare compiles what the map says of the source.
func (s *Source) prepare() error {
	s.recordID = plainRecordID
	if s.Def.RecordID == "" {
		return nil
	}
	var err error
	if s.recordID, err = regexp.Compile("^(?:" + s.Def.RecordID + ")$"); err != nil {
		return fmt.Errorf("intake: source %s: record_id: %w", s.Name, err)
	}
	return nil
}

func (s *Source) maxBody() int64 {
	if s.Def.MaxBody == 0 {
		return defaultMaxBody
	}
	return int64(s.Def.MaxBody)
}

// reading is what a verified body says.
type reading struct {
	posting *schema.Posting
	// ungoverned counts the fields that the map says nothing about.
	ungoverned int
}

// read turns a verified body into what the journal takes. Its error is about the whole: no part of a POST is taken when
// another is refused. It holds a *schema.Refusal, unless reading the body made us fail: then it is for an engineer.
func (s *Source) read(signed signature.Signed, body []byte) (r reading, err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	if err := strictjson.Scan(body, strictjson.Limits{}); err != nil {
		return r, err
	}
	raws, err := s.Envelope.Split(body)
	if err != nil {
		return r, err
	}
	r.posting = &schema.Posting{Source: s.Name, Receipt: schema.NewReceipt()}
	// alone is set when the body is the event; else it is an array.
	alone := len(raws) == 1 && len(raws[0]) == len(bytes.TrimSpace(body))
	for i, raw := range raws {
		u, ungoverned, err := s.unit(raw)
		if err == nil && s.dedupeBy() != bySignedID {
			err = s.identify(&u, signed, alone)
		}
		if err != nil && !alone {
			err = within(err, i)
		}
		if err != nil {
			return r, err
		}
		r.posting.Units = append(r.posting.Units, u)
		r.ungoverned += ungoverned
	}
	if len(r.posting.Units) == 0 {
		return r, &schema.Refusal{Reason: schema.ReasonSchemaMismatch, Rule: "holds at least one event", Remedy: "send at least one"}
	}
	if s.dedupeBy() == bySignedID {
		s.join(r.posting, signed)
	}
	return r, nil
}

var errPanic = errors.New("intake: reading a body panicked")

// refusedEvent is a refusal about an event of one of our objects.
type refusedEvent struct {
	*schema.Refusal
	object, owner string
}

// Unwrap returns the refusal itself.
func (r *refusedEvent) Unwrap() error { return r.Refusal }

// refused is what of a refused body goes to the dead letters, and whose it is: of the object that the refusal is about,
// else of the first that the source tells of.
func (s *Source) refused(cause error, body []byte) schema.Refused {
	refusal := &schema.Refusal{Reason: schema.ReasonInternal}
	errors.As(cause, &refusal)
	out := schema.Refused{Source: s.Name, Refusal: *refusal, Body: body}
	out.Refusal.Field = strictjson.Shown(refusal.Field)
	var event *refusedEvent
	if errors.As(cause, &event) {
		out.Object, out.Owner = event.object, event.owner
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(s.Def.Objects)) {
		out.Object = s.Def.Objects[name].Object
		break
	}
	out.Owner = s.Owners[out.Object]
	return out
}

// within points a refusal at its place in an array of events.
func within(err error, i int) error {
	var r *schema.Refusal
	if errors.As(err, &r) {
		r.Field = "/" + strconv.Itoa(i) + r.Field
	}
	return err
}

// The ways to tell that an event came before.
const (
	bySignedID = "signed_id"
	byBodyID   = "body_id"
	byContent  = "content"
)

func (s *Source) dedupeBy() string {
	switch {
	case s.Def.Dedupe.By != "":
		return s.Def.Dedupe.By
	case s.Covers.ID:
		return bySignedID
	}
	return byContent
}

// remembered is how long a dedupe key is certain to be remembered that is not kept for good.
const remembered = 30 * 24 * time.Hour

// kept reports whether a key has to be kept for good: nothing bounds the time in which the same signature is taken.
func (s *Source) kept() bool {
	span, unlimited := s.Def.Signature.Tolerance.Or(0)
	return !s.Covers.Timestamp || unlimited || span > remembered
}

// join makes the whole POST one unit under the id that its signature covers.
func (s *Source) join(p *schema.Posting, signed signature.Signed) {
	u := schema.Unit{Key: [][]byte{[]byte(bySignedID), []byte(signed.ID)}, Kept: s.kept(), Body: signed.Content}
	for _, part := range p.Units {
		u.Events = append(u.Events, part.Events...)
	}
	p.Units = []schema.Unit{u}
}

// identify gives one event of a POST its dedupe key, from bytes that the signature covers only (A04).
func (s *Source) identify(u *schema.Unit, signed signature.Signed, alone bool) error {
	raw := u.Events[0].Body
	if alone {
		// Other spellings of a body that carry the same signature are the same body.
		raw = signed.Content
	}
	u.Kept, u.Body = s.kept(), contentOf(raw)
	if s.dedupeBy() == byBodyID {
		id, ok := bodyID(raw, s.Def.Dedupe.Pointer)
		if !ok {
			return &schema.Refusal{
				Reason: schema.ReasonSchemaMismatch, Field: s.Def.Dedupe.Pointer, Rule: "is a text or a number: it names the event", Remedy: "send the event's id",
			}
		}
		u.Key = [][]byte{[]byte(byBodyID), []byte(id)}
		return nil
	}
	u.Key = [][]byte{[]byte(byContent), u.Body}
	for _, e := range u.Events {
		switch {
		case !e.SourceAt.IsZero():
		case s.Covers.Timestamp:
			// A change back has the content of the change before; only the time of signing tells them apart.
			u.Key = append(u.Key, []byte(signed.At.Format(time.RFC3339Nano)))
			return nil
		default:
			return &schema.Refusal{
				Reason: schema.ReasonSchemaMismatch, Rule: "has a time: nothing else tells a repetition from a change back", Remedy: "send the time of the change",
			}
		}
	}
	return nil
}

// bodyID returns the id that a pointer names; one value has one id, however it is spelt.
func bodyID(raw []byte, pointer string) (id string, ok bool) {
	value, ok := strictjson.Find(raw, pointer)
	if !ok {
		return "", false
	}
	id, ok = strictjson.Text(value)
	return id, ok && id != ""
}

// contentOf is what of a body makes it the same event again, in one spelling: member order and blanks do not count,
// numbers count as they are written. Of an event in the envelope of EventBridge only what is inside counts: the envelope
// is made anew when the event is delivered anew.
func contentOf(body []byte) []byte {
	tree, err := strictjson.Decode(body)
	if err != nil {
		return body // the scan has refused such a body before
	}
	if members, ok := tree.(map[string]any); ok {
		_, enveloped := members["detail-type"].(string)
		if detail, ok := members["detail"].(map[string]any); ok && enveloped {
			tree = detail
		}
	}
	spelt, err := json.Marshal(tree)
	if err != nil {
		return body // a tree of the scan can always be written
	}
	return spelt
}

// maxSpread bounds the bytes that the events of one message take in the journal: each is kept with the whole message.
const maxSpread = 64 << 20

// unit reads one event and checks everything that it says.
func (s *Source) unit(raw json.RawMessage) (u schema.Unit, ungoverned int, err error) {
	changes, err := s.Envelope.Parse(raw)
	if err != nil {
		return u, 0, s.sharper(raw, err)
	}
	if len(changes)*len(raw) > maxSpread || len(changes) > schema.MaxEventsPerReceipt {
		return u, 0, &schema.Refusal{
			Reason: schema.ReasonSchemaMismatch, Rule: "tells of fewer records, or says less of each", Remedy: "send several smaller messages",
		}
	}
	checked := map[string]bool{}
	for part, c := range changes {
		event, err := s.event(raw, part, c, checked)
		if err != nil {
			return u, 0, err
		}
		u.Events = append(u.Events, event)
		ungoverned += len(c.Fields) - len(s.Rulesets[event.Object].Governed(s.Def.System, c))
	}
	if len(u.Events) == 0 {
		return u, 0, &schema.Refusal{Reason: schema.ReasonSchemaMismatch, Rule: "tells of a record", Remedy: "send the record's id"}
	}
	return u, ungoverned, nil
}

// sharper asks the agreed shapes for a better word about a body that the envelope cannot read.
func (s *Source) sharper(raw json.RawMessage, refusal error) error {
	if len(s.Def.Objects) != 1 {
		return refusal
	}
	for _, o := range s.Def.Objects {
		if o.Schema == "" {
			return refusal
		}
		if _, err := s.Shapes.Check(o.Schema, raw); err != nil {
			return err
		}
	}
	return refusal
}

// event checks one change. checked holds the schemas that the message has met already.
func (s *Source) event(raw json.RawMessage, part int, c schema.Change, checked map[string]bool) (schema.NewEvent, error) {
	object, ok := s.Def.Objects[c.Object]
	if !ok {
		return schema.NewEvent{}, &schema.Refusal{
			Reason: schema.ReasonUnknownObject, Rule: "is an object that the integration map lists for this source", Remedy: "list it, or stop sending it",
		}
	}
	ref, err := s.check(raw, c, object, checked)
	var faults schema.Faults
	if err == nil && errors.As(schema.Validate(c), &faults) {
		err = &schema.Refusal{Reason: schema.ReasonSchemaMismatch, Rule: "keeps our bound " + faults[0].Rule + "=" + faults[0].Bound + " of " + faults[0].Path, Remedy: "send less"}
	}
	var refusal *schema.Refusal
	if errors.As(err, &refusal) {
		err = &refusedEvent{Refusal: refusal, object: object.Object, owner: s.owner(object.Object, refusal.Field)}
		if refusal.Field != "" && refusal.Field[0] != '/' {
			refusal.Field = placeOf(raw, refusal.Field)
		}
	}
	if err != nil {
		return schema.NewEvent{}, err
	}
	e := schema.NewEvent{
		System: s.Def.System, Object: object.Object, Ref: ref, Kind: c.Kind, Part: part, SourceAt: c.At, Sequence: c.Sequence, Lane: schema.LaneNormal, Body: raw,
	}
	if c.Kind == schema.EventChange && s.Rulesets[object.Object].Push(s.Def.System, c) {
		e.Lane = schema.LanePush
	}
	return e, nil
}

// owner returns who answers for a vendor's field, or for the object.
func (s *Source) owner(object, field string) string {
	return cmp.Or(s.Rulesets[object].FieldOwner(s.Def.System, field), s.Owners[object])
}

// check checks a change against the agreed shape, the canonical spelling of each value and the canonical shape, and
// returns what names its record.
func (s *Source) check(raw json.RawMessage, c schema.Change, object schema.SourceObject, checked map[string]bool) (ref string, err error) {
	if object.Schema != "" && !checked[object.Schema] {
		if _, err := s.Shapes.Check(object.Schema, raw); err != nil {
			return "", err
		}
		checked[object.Schema] = true
	}
	rs := s.Rulesets[object.Object]
	if c.Kind != schema.EventDelete {
		if refusal := rs.Check(s.Def.System, c, rules.MaskValue); refusal != nil {
			return "", refusal
		}
		if err := s.Shapes.CheckTree("canonical/"+object.Object, rs.Canonical(s.Def.System, c)); err != nil {
			return "", err
		}
	}
	return s.ref(rs, c)
}

// placeOf returns the JSON pointer of a vendor's field in an event, or of its new value where the event tells old and
// new. A field that has another name in the event is pointed at as a member of its own.
func placeOf(raw json.RawMessage, field string) string {
	tree, err := strictjson.Decode(raw)
	if err == nil {
		if at, ok := search(tree, field); ok {
			return strictjson.Pointer(at...)
		}
	}
	return strictjson.Pointer(field)
}

// search finds a member by its name, or by the names of an object and its member between a dot.
func search(tree any, name string) (at []string, ok bool) {
	node, isObject := tree.(map[string]any)
	if !isObject {
		return nil, false
	}
	if value, ok := node[name]; ok {
		if pair, isObject := value.(map[string]any); isObject && pair["new_value"] != nil {
			return []string{name, "new_value"}, true
		}
		return []string{name}, true
	}
	if whole, part, dotted := strings.Cut(name, "."); dotted {
		if inner, isObject := node[whole].(map[string]any); isObject && inner[part] != nil {
			return []string{whole, part}, true
		}
	}
	for _, member := range slices.Sorted(maps.Keys(node)) {
		if below, ok := search(node[member], name); ok {
			return append([]string{member}, below...), true
		}
	}
	return nil, false
}

// ref returns what names the record in its system. A source without record ids names it by its strongest match key
// (ruling 4: at least one usable key).
func (s *Source) ref(rs *rules.Ruleset, c schema.Change) (string, error) {
	if c.Ref != "" {
		if !s.recordID.MatchString(c.Ref) {
			return "", &schema.Refusal{
				Reason: schema.ReasonBadRecordID, Rule: "matches " + s.recordID.String(), Masked: rules.MaskValue(c.Ref), Remedy: "send the record's id in its own system",
			}
		}
		return c.Ref, nil
	}
	keys := rs.Keys(s.Def.System, c)
	if len(keys) == 0 {
		return "", &schema.Refusal{
			Reason: schema.ReasonNoUsableKey, Rule: "holds at least one match key", Remedy: "send an external id, an e-mail address or a phone number",
		}
	}
	return keys[0].Kind + ":" + keys[0].Issuer + ":" + keys[0].Value.Reveal(), nil
}
