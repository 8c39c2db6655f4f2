package schema

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// ID names a row of ours: an event, a receipt, a call (version 7, ordered by time) or a record, a claim, a ref
// (version 4, random). Random where Temporal or a vendor ever sees it: a restored database must not hand one out twice
// (protocol F11).
type ID = uuid.UUID

// MaxEventsPerReceipt bounds the events of one POST: their ids share all but the last sixteen bits of the receipt.
const MaxEventsPerReceipt = 1<<16 - 1

// NewReceipt returns a time-ordered id whose last sixteen bits are zero, so that EventID can number the events under it.
func NewReceipt() ID {
	id := uuid.Must(uuid.NewV7())
	binary.BigEndian.PutUint16(id[14:], 0)
	return id
}

// EventID returns the id of the n-th event, counted from 1, under a receipt. The receipt and its events lie side by
// side in the primary key, which saves the journal an index. It panics outside 1 to MaxEventsPerReceipt.
func EventID(receipt ID, n int) ID {
	if n < 1 || n > MaxEventsPerReceipt {
		panic(fmt.Sprintf("schema: event %d of a receipt", n))
	}
	binary.BigEndian.PutUint16(receipt[14:], uint16(n))
	return receipt
}

// ReceiptOf returns the receipt that an event came under.
func ReceiptOf(event ID) ID {
	binary.BigEndian.PutUint16(event[14:], 0)
	return event
}

// LastOfReceipt returns the highest id that an event under the receipt can have.
func LastOfReceipt(receipt ID) ID {
	binary.BigEndian.PutUint16(receipt[14:], MaxEventsPerReceipt)
	return receipt
}

// NewCall returns a time-ordered id for a vendor call.
func NewCall() ID { return uuid.Must(uuid.NewV7()) }

// NewRandom returns a random id for a record, a claim or a ref.
func NewRandom() ID { return uuid.New() }

// FirstIDAt returns the lowest version 7 id of a moment: the bound of a day's partition.
func FirstIDAt(t time.Time) ID {
	var id ID
	ms := uint64(t.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i)) //nolint:gosec // one byte of the six
	}
	return id
}

// TimeOf returns the moment, to the millisecond, that a version 7 id was made.
func TimeOf(id ID) time.Time {
	ms := int64(0)
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}
