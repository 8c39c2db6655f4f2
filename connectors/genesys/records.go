package genesys

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"lockstep/connectors"
	"lockstep/schema"
)

const (
	// maxBulk is bulk enrich's bound.
	maxBulk = 10
	// maxBulkBytes keeps a bulk request below the platform's limit of 512,000 bytes.
	maxBulkBytes = 400_000

	contactRoute = "/contacts/{id}"
	enrichRoute  = "/bulk/contacts/enrich"
	readRoute    = "/bulk/contacts"

	// pathRoot begins every field of a PATCH (specification, ContactsPatchChange).
	pathRoot = "$."
)

// Fits returns how many leading changes one request holds. Enrich never empties a member (nulls never overwrite), so a
// change with a field to clear is a PATCH of its own; others share a bulk request as far as its bytes go.
func (g *Connector) Fits(op schema.Op, _ connectors.Object, changes []connectors.Change) int {
	if len(changes) == 0 {
		return 0
	}
	size := 0
	for i, c := range changes[:min(len(changes), g.Batch(op))] {
		size += changeSize(c)
		if i > 0 && (size > maxBulkBytes || (op == schema.OpWrite && (clears(c) || clears(changes[0])))) {
			return i
		}
	}
	return min(len(changes), g.Batch(op))
}

// changeSize estimates the bytes of a change in a request; a phone's text stands there twice.
func changeSize(c connectors.Change) int {
	size := 1_000
	for field, value := range c.Fields {
		if text, ok := value.(string); ok {
			size += 2 * len(strconv.Quote(text))
		}
		size += 100 + len(field)
	}
	return size
}

// clears reports whether the change empties a field.
func clears(c connectors.Change) bool {
	for _, value := range c.Fields {
		if value == nil {
			return true
		}
	}
	return false
}

// Write updates contacts that carry our id: up to 10 by bulk enrich, matched by nothing but our id, or a lone one by
// PATCH when it has a field to clear. It never creates one; a contact that is gone answers NotFound. Errors are
// *connectors.Error. Safe to repeat.
func (g *Connector) Write(ctx context.Context, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	if len(changes) == 1 && clears(changes[0]) {
		return g.patch(ctx, schema.OpWrite, o, changes[0])
	}
	return g.enrich(ctx, schema.OpWrite, o, changes)
}

// Create makes up to 10 contacts under our ids: bulk enrich with Upsert, matched by nothing but our id, so a repetition
// finds the first creation and writes the same values again. Errors are *connectors.Error. Safe to repeat.
func (g *Connector) Create(ctx context.Context, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	return g.enrich(ctx, schema.OpCreate, o, changes)
}

// Link updates one contact by its id and adds our id to it, beside those of other sources. It never creates one. Errors
// are *connectors.Error. Safe to repeat.
func (g *Connector) Link(ctx context.Context, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	if len(changes) != 1 {
		return nil, g.failed(schema.Unsupported, connectors.CodeBatchTooBig)
	}
	return g.patch(ctx, schema.OpLink, o, changes[0])
}

// operation is one item of a bulk enrich request.
type operation struct {
	ID                  string         `json:"id"`
	MatchingIdentifiers []identifier   `json:"matchingIdentifiers"`
	Action              string         `json:"action"`
	Contact             map[string]any `json:"contact"`
	FieldRules          *fieldRules    `json:"fieldRules,omitempty"`
	Options             map[string]any `json:"options,omitempty"`
}

type fieldRules struct {
	DefaultAction      string `json:"defaultAction"`
	DefaultArrayAction string `json:"defaultArrayAction"`
}

type identifier struct {
	Type           string     `json:"type"`
	Value          string     `json:"value"`
	ExternalSource *reference `json:"externalSource,omitempty"`
}

func (g *Connector) enrich(ctx context.Context, op schema.Op, o connectors.Object, changes []connectors.Change) ([]connectors.Answer, error) {
	if !usable(o) {
		return nil, g.failed(schema.Unsupported, connectors.CodeBadRequest)
	}
	if len(changes) > g.Fits(op, o, changes) {
		return nil, g.failed(schema.Unsupported, connectors.CodeBatchTooBig)
	}
	sources, err := g.sourcesOf(ctx, append(slices.Clone(o.Fields), o.Key)...)
	if err != nil {
		return nil, err
	}
	answers := make([]connectors.Answer, len(changes))
	operations := []operation{}
	for i, c := range changes {
		answers[i].ID = c.ID
		body, refused := g.contactBody(op, o, c, sources)
		if refused != nil {
			answers[i].Err = refused
			continue
		}
		operations = append(operations, g.operation(op, i, o, c, body, sources))
	}
	if len(operations) == 0 {
		return answers, nil
	}
	results, err := g.bulk(ctx, operations, nil, true)
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		answers[i] = g.fate(op, o, changes[i], sources, r)
	}
	return answers, nil
}

func (g *Connector) operation(op schema.Op, i int, o connectors.Object, c connectors.Change, body map[string]any, sources map[string]string) operation {
	source, _ := externalID(o.Key)
	item := operation{
		ID: strconv.Itoa(i),
		MatchingIdentifiers: []identifier{{
			Type: "ExternalId", Value: c.Canonical.String(), ExternalSource: &reference{ID: sources[source]},
		}},
		Action:     "Update",
		Contact:    body,
		FieldRules: &fieldRules{DefaultAction: "PreferProvided", DefaultArrayAction: "Fill"},
	}
	if op == schema.OpCreate {
		item.Action = "Upsert"
		item.Options = map[string]any{"promote": g.settings.promote}
	}
	return item
}

// contactBody nests the values of a change. A field to clear is left out: a new contact has nothing to clear, and a
// write with one never comes here.
func (g *Connector) contactBody(op schema.Op, o connectors.Object, c connectors.Change, sources map[string]string) (map[string]any, *connectors.Error) {
	body, custom, external := map[string]any{}, map[string]any{}, []map[string]any{}
	for _, field := range slices.Sorted(keysOf(c.Fields)) {
		value := c.Fields[field]
		if value == nil || field == o.Key {
			continue
		}
		if name, ok := externalID(field); ok {
			text, ok := value.(string)
			if !ok || sources[name] == "" {
				return nil, g.badValue(field)
			}
			external = append(external, externalEntry(sources[name], text))
			continue
		}
		wire, ok := nested(field, value)
		if !ok || !knownField(field) {
			return nil, g.badValue(field)
		}
		if name, ok := customField(field); ok {
			custom[name] = wire
			continue
		}
		body[field] = wire
	}
	if op == schema.OpCreate {
		source, _ := externalID(o.Key)
		external = append(external, externalEntry(sources[source], c.Canonical.String()))
	}
	if len(external) > 0 {
		body["externalIds"] = external
	}
	if len(custom) > 0 {
		if g.settings.schemaID == "" {
			return nil, g.failed(schema.Unsupported, "no_custom_schema")
		}
		body["customFields"] = custom
		body["schema"] = g.customSchema()
	}
	return body, nil
}

func keysOf(fields schema.Fields) func(func(string) bool) {
	return func(yield func(string) bool) {
		for field := range fields {
			if !yield(field) {
				return
			}
		}
	}
}

func (g *Connector) customSchema() map[string]any {
	return map[string]any{"id": g.settings.schemaID, "version": g.settings.schemaVersion}
}

func externalEntry(sourceID, value string) map[string]any {
	return map[string]any{"externalSource": reference{ID: sourceID}, "value": value}
}

func (g *Connector) badValue(field string) *connectors.Error {
	return &connectors.Error{System: g.system, Kind: schema.Unsupported, Code: connectors.CodeBadRequest, Field: field}
}

// result is the fate of one item of a bulk request.
type result struct {
	ID      string     `json:"id"`
	Success bool       `json:"success"`
	Status  int        `json:"status" validate:"gte=0,lte=599"`
	Entity  *contact   `json:"entity"`
	Error   *itemError `json:"error"`
}

// bulk sends the operations and returns their results by the place that each operation's id tells.
func (g *Connector) bulk(ctx context.Context, operations []operation, query url.Values, effect bool) (map[int]result, error) {
	body, err := json.Marshal(map[string]any{"entities": operations})
	if err != nil {
		return nil, g.failed(schema.Invalid, connectors.CodeBadRequest)
	}
	response, err := g.succeed(ctx, connectors.Request{
		Method: http.MethodPost, Route: enrichRoute, Query: query, Body: body, Effect: effect,
	})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []result `json:"results" validate:"required,dive"`
	}
	if err := response.Decode(&answer); err != nil {
		return nil, err
	}
	byPlace := map[int]result{}
	for _, r := range answer.Results {
		place, err := strconv.Atoi(r.ID)
		if err != nil {
			return nil, response.Unreadable()
		}
		byPlace[place] = r
	}
	for _, asked := range operations {
		place, _ := strconv.Atoi(asked.ID)
		if _, ok := byPlace[place]; !ok {
			return nil, response.Unreadable()
		}
	}
	if len(byPlace) != len(operations) || len(answer.Results) != len(operations) {
		return nil, response.Unreadable()
	}
	return byPlace, nil
}

// fate reads one result. A success that shows no contact is no success.
func (g *Connector) fate(op schema.Op, o connectors.Object, c connectors.Change, sources map[string]string, r result) connectors.Answer {
	switch {
	case !r.Success:
		return connectors.Answer{ID: c.ID, Err: g.itemRefused(op, o, r.Status, r.Error)}
	case r.Entity == nil || !recordID(r.Entity.ID):
		return connectors.Answer{ID: c.ID, Err: g.itemRefused(op, o, r.Status, nil)}
	default:
		a := g.shown(o, r.Entity, sources)
		a.Created = r.Status == http.StatusCreated
		return a
	}
}

func (g *Connector) shown(o connectors.Object, c *contact, sources map[string]string) connectors.Answer {
	record := c.record(o, sources)
	return connectors.Answer{ID: record.ID, Record: &record, ModifiedAt: record.ModifiedAt}
}

// patchChange is one step of a PATCH.
type patchChange struct {
	Field  string `json:"field"`
	Value  any    `json:"value,omitempty"`
	Action string `json:"action"`
}

func (g *Connector) patch(ctx context.Context, op schema.Op, o connectors.Object, c connectors.Change) ([]connectors.Answer, error) {
	if !usable(o) {
		return nil, g.failed(schema.Unsupported, connectors.CodeBadRequest)
	}
	if !recordID(c.ID) {
		return []connectors.Answer{{ID: c.ID, Err: g.failed(schema.Invalid, connectors.CodeBadID)}}, nil
	}
	sources, err := g.sourcesOf(ctx, append(slices.Clone(o.Fields), o.Key)...)
	if err != nil {
		return nil, err
	}
	steps, refused := g.steps(op, o, c, sources)
	if refused != nil {
		return []connectors.Answer{{ID: c.ID, Err: refused}}, nil //nolint:nilerr // the answer carries it
	}
	body, err := json.Marshal(map[string]any{"changes": steps})
	if err != nil {
		return nil, g.failed(schema.Invalid, connectors.CodeBadRequest)
	}
	response, err := g.call(ctx, connectors.Request{
		Method: http.MethodPatch, Route: contactRoute, Args: []string{c.ID}, Body: body, Effect: true,
	})
	if err != nil {
		return nil, err
	}
	answer, err := g.lone(op, o, c.ID, response, sources)
	if err != nil {
		return nil, err
	}
	return []connectors.Answer{answer}, nil
}

// steps writes the change as PATCH takes it. An external id is added to those that are there; emptying one would take
// its old value, which nobody told us.
func (g *Connector) steps(op schema.Op, o connectors.Object, c connectors.Change, sources map[string]string) ([]patchChange, *connectors.Error) {
	steps, external, custom := []patchChange{}, []map[string]any{}, false
	for _, field := range slices.Sorted(keysOf(c.Fields)) {
		value := c.Fields[field]
		if field == o.Key {
			continue
		}
		if name, ok := externalID(field); ok {
			text, ok := value.(string)
			if !ok || sources[name] == "" {
				return nil, g.badValue(field)
			}
			external = append(external, externalEntry(sources[name], text))
			continue
		}
		if !knownField(field) {
			return nil, g.badValue(field)
		}
		path := pathRoot + field
		if value == nil {
			steps = append(steps, patchChange{Field: path, Action: "Remove"})
			continue
		}
		wire, ok := nested(field, value)
		if !ok {
			return nil, g.badValue(field)
		}
		_, isCustom := customField(field)
		custom = custom || isCustom
		steps = append(steps, patchChange{Field: path, Value: wire, Action: "Update"})
	}
	if custom {
		if g.settings.schemaID == "" {
			return nil, g.failed(schema.Unsupported, "no_custom_schema")
		}
		steps = append(steps, patchChange{Field: pathRoot + "schema", Value: g.customSchema(), Action: "Update"})
	}
	if op == schema.OpLink {
		source, _ := externalID(o.Key)
		external = append(external, externalEntry(sources[source], c.Canonical.String()))
	}
	if len(external) > 0 {
		steps = append(steps, patchChange{
			Field: pathRoot + "externalIds", Value: external, Action: "AppendToCollection",
		})
	}
	return steps, nil
}

// lone reads the answer about one contact: its path leads to it, so 404 is a missing contact.
func (g *Connector) lone(op schema.Op, o connectors.Object, id string, r *connectors.Response, sources map[string]string) (connectors.Answer, error) {
	if r.Status == http.StatusOK {
		var c contact
		if err := r.Decode(&c); err != nil {
			return connectors.Answer{}, err
		}
		if !recordID(c.ID) {
			return connectors.Answer{}, r.Unreadable()
		}
		return g.shown(o, &c, sources), nil
	}
	e := g.refused(r)
	e.Kind = g.conflict(op, e)
	if e.Kind.Scope() == schema.ScopeSystem || e.Kind == schema.UnknownOutcome {
		return connectors.Answer{}, e
	}
	if body, ok := readDetails(r.Body); ok {
		e.Field = governed(o, body)
	}
	return connectors.Answer{ID: id, Err: e}, nil
}

// Read reads up to 10 contacts: a lone one by its id, several by the bulk form. A missing one answers NotFound; a
// merged one answers as the contact that it was merged into, with that contact's id. Errors are *connectors.Error. Safe
// to repeat.
func (g *Connector) Read(ctx context.Context, o connectors.Object, ids []string) ([]connectors.Answer, error) {
	if !usable(o) {
		return nil, g.failed(schema.Unsupported, connectors.CodeBadRequest)
	}
	if len(ids) > maxBulk {
		return nil, g.failed(schema.Unsupported, connectors.CodeBatchTooBig)
	}
	answers, asked, places := make([]connectors.Answer, len(ids)), []string{}, []int{}
	for i, id := range ids {
		answers[i].ID = id
		if !recordID(id) {
			answers[i].Err = g.failed(schema.Invalid, connectors.CodeBadID)
			continue
		}
		asked, places = append(asked, id), append(places, i)
	}
	if len(asked) == 0 {
		return answers, nil
	}
	sources, err := g.sourcesOf(ctx, append(slices.Clone(o.Fields), o.Key)...)
	if err != nil {
		return nil, err
	}
	read := g.readSeveral
	if len(asked) == 1 {
		read = g.readOne
	}
	found, err := read(ctx, o, asked, sources)
	if err != nil {
		return nil, err
	}
	for n, i := range places {
		answers[i] = found[n]
	}
	return answers, nil
}

func (g *Connector) readOne(ctx context.Context, o connectors.Object, ids []string, sources map[string]string) ([]connectors.Answer, error) {
	response, err := g.call(ctx, connectors.Request{Method: http.MethodGet, Route: contactRoute, Args: ids})
	if err != nil {
		return nil, err
	}
	answer, err := g.lone(schema.OpRead, o, ids[0], response, sources)
	return []connectors.Answer{answer}, err
}

// readSeveral asks by POST; the results come in the order asked.
func (g *Connector) readSeveral(ctx context.Context, o connectors.Object, ids []string, sources map[string]string) ([]connectors.Answer, error) {
	entities := make([]reference, len(ids))
	for i, id := range ids {
		entities[i].ID = id
	}
	body, err := json.Marshal(map[string]any{"entities": entities})
	if err != nil {
		return nil, g.failed(schema.Invalid, connectors.CodeBadRequest)
	}
	response, err := g.succeed(ctx, connectors.Request{Method: http.MethodPost, Route: readRoute, Body: body})
	if err != nil {
		return nil, err
	}
	var list struct {
		Results []result `json:"results" validate:"required,dive"`
	}
	if err := response.Decode(&list); err != nil {
		return nil, err
	}
	if len(list.Results) != len(ids) {
		return nil, response.Unreadable()
	}
	answers := make([]connectors.Answer, len(ids))
	for i, r := range list.Results {
		if r.ID != "" && r.ID != ids[i] && (r.Entity == nil || r.ID != r.Entity.ID) {
			return nil, response.Unreadable()
		}
		answers[i] = g.fate(schema.OpRead, o, connectors.Change{ID: ids[i]}, sources, r)
		if e := answers[i].Err; e != nil && e.Kind == schema.UnknownOutcome {
			e.Kind = schema.Contention
		}
	}
	return answers, nil
}
