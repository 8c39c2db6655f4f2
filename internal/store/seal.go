package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/fxamacker/cbor/v2"

	"lockstep/internal/secrets"
	"lockstep/schema"
)

// stateCodec writes states small: a state below two kilobytes stays in its row.
var stateCodec = mustCodec()

func mustCodec() cbor.EncMode {
	mode, err := cbor.EncOptions{Sort: cbor.SortNone}.EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}

func placeOf(table, column string, row schema.ID) secrets.Place {
	return secrets.Place{Table: table, Column: column, Row: row}
}

// ErrOtherKeys says that the sealing keys are not those of the database.
var ErrOtherKeys = errors.New("store: the sealing keys do not open what the database holds: give the process the keys/ of the installation that filled it")

// TryKeys opens the newest sealed body. The error is ErrOtherKeys when the keys are of another installation: such a
// process would take every row for damaged.
func (s *Store) TryKeys(ctx context.Context) error {
	var row struct {
		ID   schema.ID `db:"id"`
		Body []byte    `db:"body"`
		DEK  []byte    `db:"dek"`
	}
	err := s.db.GetContext(ctx, &row, `SELECT id, body, dek FROM event WHERE body IS NOT NULL ORDER BY id DESC LIMIT 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return coded(err)
	}
	if _, err = s.sealer.Open(row.Body, row.DEK, placeOf("event", "body", row.ID)); errors.Is(err, secrets.ErrOpen) {
		return ErrOtherKeys
	}
	return err
}

// sealState returns a record's state as its row keeps it.
func (s *Store) sealState(record schema.ID, state *schema.State) (sealed, wrapped []byte, err error) {
	plain, err := stateCodec.Marshal(state)
	if err != nil {
		return nil, nil, errors.New("store: a state cannot be written")
	}
	return s.sealer.Seal(plain, placeOf("record", "state", record))
}

// openState reads what sealState wrote; a record without state has an empty one.
func (s *Store) openState(record schema.ID, sealed, wrapped []byte) (*schema.State, error) {
	state := &schema.State{}
	if sealed == nil {
		return state, nil
	}
	plain, err := s.sealer.Open(sealed, wrapped, placeOf("record", "state", record))
	if err != nil {
		return nil, err
	}
	if cbor.Unmarshal(plain, state) != nil {
		return nil, errors.New("store: a state cannot be read")
	}
	return state, nil
}

// The purposes of the index: equal values of two purposes have different codes.
const (
	purposeRef      = "ref"
	purposeDedupe   = "dedupe"
	purposeBody     = "body"
	purposeIdentity = "identity"
	purposePayload  = "payload"
)
