package telemetry

import (
	"encoding"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is what an attribute's value may look like.
type kind int

const (
	// aWord is an id, a name or an enumerated value: letters, digits and a few signs.
	aWord kind = iota + 1
	aNumber
	aDuration
	aTime
	aFlag
	// aText is a sentence of ours, masked all the same.
	aText
	anError
)

// allowed are the keys that a line may show. A key that is not here is dropped with its value, so the list is what
// decides that no line holds personal data: nothing goes on it that a customer or a vendor may have written.
var allowed = listed(map[kind]string{
	aWord: `
		event receipt record canonical_id delivery claim call incident dead_letter request correlation bundle digest epoch
		workflow_id run_id activity_id timer_id update_id worker build
		source system target object field owner role policy runbook schema component step table partition migration version
		task_queue namespace workflow_type activity_type worker_type event_type update query signal route method listen mode
		reason kind code cause state from to outcome verdict op lane importance`,
	aNumber: `
		count records events rows attempt tries size limit rev part slot status open pending dropped remaining event_id port`,
	aDuration: `duration delay age wait timeout skew late_by`,
	aTime:     `at due_at until deadline`,
	aFlag:     `ok created demo`,
	aText:     `detail rule remedy`,
	anError:   `error`,
})

func listed(keys map[kind]string) map[string]kind {
	list := make(map[string]kind)
	for as, names := range keys {
		for _, name := range strings.Fields(names) {
			list[name] = as
		}
	}
	return list
}

// otherNames are the keys under which libraries log what we have names for.
var otherNames = map[string]string{
	"err": "error", "Error": "error", "PanicError": "error",
	"Namespace": "namespace", "TaskQueue": "task_queue", "WorkerID": "worker", "WorkerType": "worker_type", "BuildID": "build",
	"WorkflowID": "workflow_id", "ChildWorkflowID": "workflow_id", "RunID": "run_id", "WorkflowType": "workflow_type",
	"ActivityID": "activity_id", "ActivityType": "activity_type", "LocalActivityType": "activity_type", "Attempt": "attempt",
	"EventID": "event_id", "EventType": "event_type", "TimerID": "timer_id", "UpdateID": "update_id", "UpdateName": "update",
	"QueryType": "query", "PayloadSize": "size", "PayloadSizeLimit": "limit", "WorkflowTaskDuration": "duration",
}

// fields are the attributes of a line. A key comes once; the last value counts.
type fields struct {
	shown []field
	// hidden counts attributes that may not be shown.
	hidden int
}

// field is a key and its value as JSON.
type field struct {
	key   string
	value []byte
}

func (f fields) clone() fields { return fields{slices.Clone(f.shown), f.hidden} }

// add renders an attribute, or hides it.
func (f *fields) add(a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		for _, member := range value.Group() {
			f.add(member)
		}
		return
	}
	if a.Key == "" {
		return
	}
	key := a.Key
	if ours, known := otherNames[key]; known {
		key = ours
	}
	rendered, ok := render(allowed[key], value)
	if !ok {
		f.hidden++
		return
	}
	for i := range f.shown {
		if f.shown[i].key == key {
			f.shown[i].value = rendered
			return
		}
	}
	f.shown = append(f.shown, field{key, rendered})
}

// render returns a value as JSON if it is what its key promises. A value that panics when it spells itself, such as a
// nil pointer, is hidden: no line is worth the service.
func render(as kind, value slog.Value) (json []byte, ok bool) {
	defer func() {
		if recover() != nil {
			json, ok = nil, false
		}
	}()
	switch as {
	case aWord:
		if n, ok := number(value); ok {
			return n, true
		}
		s, ok := spelling(value)
		return appendString(nil, word(s)), ok
	case aNumber:
		return number(value)
	case aDuration:
		if value.Kind() != slog.KindDuration {
			return nil, false
		}
		return appendString(nil, value.Duration().String()), true
	case aTime:
		if value.Kind() != slog.KindTime {
			return nil, false
		}
		return appendString(nil, value.Time().UTC().Format(time.RFC3339Nano)), true
	case aFlag:
		if value.Kind() != slog.KindBool {
			return nil, false
		}
		return strconv.AppendBool(nil, value.Bool()), true
	case aText:
		s, ok := spelling(value)
		return appendString(nil, text(s)), ok
	case anError:
		err, ok := value.Any().(error)
		if !ok {
			return nil, false
		}
		return appendString(nil, text(Describe(err))), true
	}
	return nil, false
}

// number renders whole and fractional numbers.
func number(value slog.Value) (json []byte, ok bool) {
	switch value.Kind() {
	case slog.KindInt64:
		return appendInt(nil, value.Int64()), true
	case slog.KindUint64:
		return strconv.AppendUint(nil, value.Uint64(), 10), true
	case slog.KindFloat64:
		f := value.Float64()
		return strconv.AppendFloat(nil, f, 'g', -1, 64), !math.IsNaN(f) && !math.IsInf(f, 0)
	case slog.KindAny:
		switch v := reflect.ValueOf(value.Any()); v.Kind() {
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			if _, named := value.Any().(fmt.Stringer); !named {
				return appendInt(nil, v.Int()), true
			}
		}
	}
	return nil, false
}

// spelling returns what a value spells: strings, types made of strings such as schema.Reason, and those that spell
// themselves, such as UUIDs and schema.Lane.
func spelling(value slog.Value) (s string, ok bool) {
	switch value.Kind() {
	case slog.KindString:
		return value.String(), true
	case slog.KindAny:
	default:
		return "", false
	}
	v := reflect.ValueOf(value.Any())
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return "", false
	}
	switch spelt := value.Any().(type) {
	case error:
		return "", false
	case fmt.Stringer:
		return spelt.String(), true
	case encoding.TextMarshaler:
		b, err := spelt.MarshalText()
		return string(b), err == nil
	case []string:
		words := make([]string, len(spelt))
		for i, s := range spelt {
			words[i] = word(s)
		}
		return strings.Join(words, ","), true
	}
	return v.String(), v.Kind() == reflect.String
}

func appendInt(to []byte, n int64) []byte { return strconv.AppendInt(to, n, 10) }
