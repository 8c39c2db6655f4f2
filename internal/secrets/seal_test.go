package secrets

import (
	"bytes"
	"encoding/base32"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"lockstep/schema"
)

// installation makes the keysets of a new installation and opens them.
func installation(t testing.TB) (*Sealer, *Index, string, *clock) {
	t.Helper()
	path := t.TempDir()
	if err := Generate(path); err != nil {
		t.Fatal(err)
	}
	c := &clock{at: time.Now().Add(time.Minute)}
	dir, err := Open(path, Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	sealer, err := dir.Sealer(SealKeys)
	if err != nil {
		t.Fatal(err)
	}
	index, err := dir.Index(IndexKeys)
	if err != nil {
		t.Fatal(err)
	}
	return sealer, index, path, c
}

func place(table, column string) Place { return Place{table, column, schema.NewRandom()} }

func TestSealedOpensInItsPlace(t *testing.T) {
	sealer, _, _, _ := installation(t)
	rapid.Check(t, func(t *rapid.T) {
		plaintext := rapid.SliceOf(rapid.Byte()).Draw(t, "plaintext")
		at := Place{rapid.String().Draw(t, "table"), rapid.String().Draw(t, "column"), uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "row"))}
		sealed, wrapped, err := sealer.Seal(plaintext, at)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := sealer.Open(sealed, wrapped, at)
		if err != nil || !bytes.Equal(opened, plaintext) {
			t.Fatalf("opened %x, %v", opened, err)
		}
		if len(plaintext) > 4 && bytes.Contains(append(sealed, wrapped...), plaintext) {
			t.Fatal("the plaintext stands in what was sealed")
		}
	})
}

type row struct {
	place           Place
	sealed, wrapped []byte
}

func TestB11SwappedRowsDoNotOpen(t *testing.T) {
	sealer, _, _, _ := installation(t)
	one := schema.NewRandom()
	places := []Place{{"event", "body", one}, {"event", "note", one}, {"ev3nt", "body", one}, {"event", "bod", one}, {"even", "tbody", one}, {"eventbody", "", one}, {"", "eventbody", one}}
	for i := range 25 {
		places = append(places, place([]string{"event", "record", "ref"}[i%3], []string{"body", "state"}[i%2]))
	}
	rows := make([]row, len(places))
	for i, p := range places {
		sealed, wrapped, err := sealer.Seal([]byte("the same plaintext"), p)
		if err != nil {
			t.Fatal(err)
		}
		rows[i] = row{p, sealed, wrapped}
	}
	tried := 0
	for i, a := range rows {
		for j, b := range rows {
			for name, mix := range map[string]row{
				"sealed": {a.place, b.sealed, a.wrapped}, "wrapped": {a.place, a.sealed, b.wrapped}, "row": {a.place, b.sealed, b.wrapped}, "place": {b.place, a.sealed, a.wrapped},
			} {
				_, err := sealer.Open(mix.sealed, mix.wrapped, mix.place)
				tried++
				if i == j && err != nil {
					t.Errorf("%v: %v", a.place, err)
				}
				if i != j && !errors.Is(err, ErrOpen) {
					t.Errorf("%s of %v and %v swapped: %v", name, a.place, b.place, err)
				}
			}
		}
	}
	t.Logf("B11: %d swaps", tried)
}

func TestB11DamagedRowsDoNotOpen(t *testing.T) {
	sealer, _, _, _ := installation(t)
	at := place("event", "body")
	sealed, wrapped, err := sealer.Seal([]byte("a body of some length, so that there is something to damage"), at)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	refused := func(what string, sealed, wrapped []byte) {
		tried++
		if opened, err := sealer.Open(sealed, wrapped, at); !errors.Is(err, ErrOpen) || opened != nil {
			t.Errorf("%s: %q, %v", what, opened, err)
		}
	}
	for i := range len(sealed) * 8 {
		damaged := bytes.Clone(sealed)
		damaged[i/8] ^= 1 << (i % 8)
		refused(fmt.Sprintf("bit %d of the sealed bytes", i), damaged, wrapped)
	}
	for i := range len(wrapped) * 8 {
		damaged := bytes.Clone(wrapped)
		damaged[i/8] ^= 1 << (i % 8)
		refused(fmt.Sprintf("bit %d of the wrapped key", i), sealed, damaged)
	}
	for n := range sealed {
		refused(fmt.Sprintf("%d sealed bytes", n), sealed[:n], wrapped)
	}
	for n := range wrapped {
		refused(fmt.Sprintf("%d bytes of the wrapped key", n), sealed, wrapped[:n])
	}
	refused("a byte more", append(bytes.Clone(sealed), 0), wrapped)
	refused("a byte more of the wrapped key", sealed, append(bytes.Clone(wrapped), 0))
	refused("nothing", nil, nil)
	t.Logf("B11: %d damages", tried)
}

// Every row has a key and a nonce of its own.
func TestB11NothingRepeats(t *testing.T) {
	sealer, _, _, _ := installation(t)
	seen := make(map[string]bool)
	at := place("event", "body")
	for range 10_000 {
		sealed, wrapped, err := sealer.Seal([]byte("x"), at)
		if err != nil {
			t.Fatal(err)
		}
		nonce, key := string(sealed[1:13]), string(wrapped)
		if seen["nonce "+nonce] || seen["key "+key] {
			t.Fatal("a nonce or a wrapped key came twice")
		}
		seen["nonce "+nonce], seen["key "+key] = true, true
	}
}

func TestB12RotationKeepsOldRows(t *testing.T) {
	sealer, _, path, c := installation(t)
	seal := func() row {
		at := place("event", "body")
		sealed, wrapped, err := sealer.Seal([]byte("body"), at)
		if err != nil {
			t.Fatal(err)
		}
		return row{at, sealed, wrapped}
	}
	opens := func(r row) error {
		_, err := sealer.Open(r.sealed, r.wrapped, r.place)
		return err
	}
	step := func(change func(string, schema.Reference) error) {
		t.Helper()
		if err := change(path, SealKeys); err != nil {
			t.Fatal(err)
		}
		c.pass(time.Second)
		if err := sealer.Check(); err != nil {
			t.Fatal(err)
		}
	}
	prefix := func(r row) string { return string(r.wrapped[:keyIDSize]) }

	old := seal()
	step(Stage)
	staged := seal()
	if prefix(staged) != prefix(old) {
		t.Error("a staged key is in use already")
	}
	step(Promote)
	fresh := seal()
	if prefix(fresh) == prefix(old) {
		t.Error("the promoted key is not in use")
	}
	for _, r := range []row{old, staged, fresh} {
		if err := opens(r); err != nil {
			t.Error(err)
		}
	}
	again, changed, err := sealer.Rewrap(old.wrapped, old.place)
	if err != nil || !changed || string(again[:keyIDSize]) != prefix(fresh) {
		t.Fatalf("rewrapped: %v, %v", changed, err)
	}
	rewrapped := row{old.place, old.sealed, again}
	if same, changed, err := sealer.Rewrap(again, old.place); err != nil || changed || !bytes.Equal(same, again) {
		t.Errorf("rewrapped twice: %v, %v", changed, err)
	}
	if _, _, err := sealer.Rewrap(old.wrapped, fresh.place); !errors.Is(err, ErrOpen) {
		t.Errorf("rewrapped in another place: %v", err)
	}
	step(Prune)
	if err := opens(rewrapped); err != nil {
		t.Error(err)
	}
	if err := opens(staged); !errors.Is(err, ErrOpen) {
		t.Errorf("a row under a pruned key: %v", err)
	}
}

// Another process may seal under a key before this one has looked at the file again.
func TestAKeyOfAnotherProcessIsLookedForAtOnce(t *testing.T) {
	mine, _, path, _ := installation(t)
	if err := Stage(path, SealKeys); err != nil {
		t.Fatal(err)
	}
	if err := Promote(path, SealKeys); err != nil {
		t.Fatal(err)
	}
	dir, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}()
	theirs, err := dir.Sealer(SealKeys)
	if err != nil {
		t.Fatal(err)
	}
	at := place("event", "body")
	sealed, wrapped, err := theirs.Seal([]byte("body"), at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Open(sealed, wrapped, at); err != nil {
		t.Error(err)
	}
}

func TestDamagedKeyFileKeepsTheKeysInUse(t *testing.T) {
	sealer, index, path, c := installation(t)
	at := place("event", "body")
	before := index.MAC("p", []byte("v"))
	for _, ref := range []schema.Reference{SealKeys, IndexKeys} {
		put(t, pathOf(path, ref), `{"primaryKeyId": 1, "key": []}`, 0o600)
	}
	c.pass(time.Second)
	sealed, wrapped, err := sealer.Seal([]byte("body"), at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.Open(sealed, wrapped, at); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(index.MAC("p", []byte("v")), before) {
		t.Error("the index changed")
	}
	if err := sealer.Check(); !errors.Is(err, ErrKeyset) {
		t.Errorf("sealer: %v", err)
	}
	if err := index.Check(); !errors.Is(err, ErrKeyset) {
		t.Errorf("index: %v", err)
	}
	for _, ref := range []schema.Reference{SealKeys, IndexKeys} {
		if err := os.Remove(pathOf(path, ref)); err != nil {
			t.Fatal(err)
		}
	}
	c.pass(time.Second)
	if _, _, err := sealer.Seal(nil, at); err != nil || !errors.Is(sealer.Check(), ErrAbsent) {
		t.Errorf("removed: %v, %v", err, sealer.Check())
	}
}

func TestSealingWhileKeysRotate(t *testing.T) {
	sealer, index, path, c := installation(t)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				at := place("event", "body")
				sealed, wrapped, err := sealer.Seal([]byte("body"), at)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := sealer.Open(sealed, wrapped, at); err != nil {
					t.Error(err)
					return
				}
				if len(index.MAC("p", []byte("v"))) != 32 {
					t.Error("a cut digest")
					return
				}
			}
		})
	}
	for range 20 {
		for _, ref := range []schema.Reference{SealKeys, IndexKeys} {
			if err := errors.Join(Stage(path, ref), Promote(path, ref)); err != nil {
				t.Error(err)
			}
		}
		c.pass(time.Second)
	}
	close(stop)
	workers.Wait()
}

func TestIndexIsWholeKeyedAndFramed(t *testing.T) {
	_, index, _, _ := installation(t)
	_, other, _, _ := installation(t)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 5), 0, 4)
		purposes := rapid.StringN(0, 3, -1)
		onePurpose, one := purposes.Draw(t, "one purpose"), parts.Draw(t, "one")
		twoPurpose, two := purposes.Draw(t, "two purpose"), parts.Draw(t, "two")
		a, b := index.MAC(onePurpose, one...), index.MAC(twoPurpose, two...)
		if len(a) != 32 {
			t.Fatalf("%d bytes", len(a))
		}
		equal := onePurpose == twoPurpose && fmt.Sprintf("%q", one) == fmt.Sprintf("%q", two)
		if bytes.Equal(a, b) != equal {
			t.Fatalf("%q %x and %q %x", onePurpose, one, twoPurpose, two)
		}
		if !bytes.Equal(a, index.MAC(onePurpose, one...)) || bytes.Equal(a, other.MAC(onePurpose, one...)) {
			t.Fatal("not a function of key and input")
		}
	})
	for _, pair := range [][2][][]byte{
		{{[]byte("ab"), []byte("c")}, {[]byte("a"), []byte("bc")}}, {{[]byte("a")}, {[]byte("a"), nil}}, {nil, {nil}}, {{nil, nil}, {nil}},
	} {
		if bytes.Equal(index.MAC("p", pair[0]...), index.MAC("p", pair[1]...)) {
			t.Errorf("%q and %q are one", pair[0], pair[1])
		}
	}
	if bytes.Equal(index.MAC("pq", []byte("v")), index.MAC("p", []byte("qv"))) {
		t.Error("purpose and part run into one another")
	}
}

func TestIndexFindsUnderEveryLiveKey(t *testing.T) {
	_, index, path, c := installation(t)
	value := []byte("someone@example.com")
	first := index.MAC("email", value)
	step := func(change func(string, schema.Reference) error, want ...[]byte) [][]byte {
		t.Helper()
		if err := change(path, IndexKeys); err != nil {
			t.Fatal(err)
		}
		c.pass(time.Second)
		all := index.All("email", value)
		if len(all) < len(want) {
			t.Fatalf("%d digests, want %d", len(all), len(want))
		}
		for i, digest := range want {
			if digest != nil && !bytes.Equal(all[i], digest) {
				t.Errorf("digest %d of %d is another", i, len(all))
			}
		}
		if !bytes.Equal(all[0], index.MAC("email", value)) {
			t.Error("the first is not the one in use")
		}
		return all
	}
	second := step(Stage, first, nil)[1]
	step(Promote, second, first)
	third := step(Stage, second, nil, first)[1]
	step(Promote, third, second, first)
	if all := step(Prune, third); len(all) != 1 {
		t.Errorf("%d digests after pruning", len(all))
	}
}

func TestToken(t *testing.T) {
	_, index, _, _ := installation(t)
	seen := map[string]string{}
	for i := range 1000 {
		value := fmt.Sprint(rand.Uint64())
		token := index.Token([]string{"a", "b"}[i%2], value)
		if !tokenShape(token) {
			t.Fatalf("%q", token)
		}
		if token != index.Token([]string{"a", "b"}[i%2], value) || token == index.Token("c", value) {
			t.Error("not a function of purpose and value")
		}
		if other, twice := seen[token]; twice && other != value {
			t.Error("two values, one token")
		}
		seen[token] = value
	}
	digest := index.MAC("a", []byte("v"))
	if strings.EqualFold(index.Token("a", "v")[4:], base32.HexEncoding.EncodeToString(digest[:20])) {
		t.Error("a token gives an index digest away")
	}
}

func tokenShape(token string) bool {
	if len(token) != 36 || token[:4] != "tok_" {
		return false
	}
	for _, c := range token[4:] {
		if !(('0' <= c && c <= '9') || ('a' <= c && c <= 'v')) {
			return false
		}
	}
	return true
}

func TestKeysAreGeneratedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "secrets")
	if err := Generate(path); err != nil {
		t.Fatal(err)
	}
	contents := map[schema.Reference]string{}
	for _, ref := range []schema.Reference{SealKeys, IndexKeys} {
		info, err := os.Stat(pathOf(path, ref))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", ref, info.Mode(), err)
		}
		content, err := os.ReadFile(pathOf(path, ref))
		if err != nil {
			t.Fatal(err)
		}
		contents[ref] = string(content)
	}
	if err := Generate(path); !errors.Is(err, ErrExists) {
		t.Errorf("generated twice: %v", err)
	}
	if err := os.Remove(pathOf(path, SealKeys)); err != nil {
		t.Fatal(err)
	}
	if err := Generate(path); !errors.Is(err, ErrExists) {
		t.Errorf("generated over the index keys: %v", err)
	}
	if _, err := os.Stat(pathOf(path, SealKeys)); !errors.Is(err, os.ErrNotExist) {
		t.Error("a refused Generate wrote a file")
	}
	if content, err := os.ReadFile(pathOf(path, IndexKeys)); err != nil || string(content) != contents[IndexKeys] {
		t.Error("the index keys changed")
	}
	if err := Promote(path, IndexKeys); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(filepath.Join(path, "keys"))
	if err != nil || len(entries) != 1 {
		t.Errorf("drafts are left: %v, %v", entries, err)
	}
	for _, ref := range []schema.Reference{"file:keys/other.json", "env:HOME", "x"} {
		if err := Stage(path, ref); !errors.Is(err, ErrReference) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if err := Stage(path, SealKeys); !errors.Is(err, ErrAbsent) {
		t.Errorf("staged without a file: %v", err)
	}
}

// Whoever generates at the same moment: one wins, the other is refused, nothing is mixed.
func TestKeysAreGeneratedByOne(t *testing.T) {
	for range 20 {
		path := t.TempDir()
		errs := make([]error, 4)
		var generators sync.WaitGroup
		for i := range errs {
			generators.Go(func() { errs[i] = Generate(path) })
		}
		generators.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, ErrExists):
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d generated", won)
		}
	}
}
