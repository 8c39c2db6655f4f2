package secrets

import (
	"bytes"
	"testing"
)

func BenchmarkSeal1KiB(b *testing.B) {
	sealer, _, _, _ := installation(b)
	body, at := bytes.Repeat([]byte("x"), 1024), place("event", "body")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := sealer.Seal(body, at); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen1KiB(b *testing.B) {
	sealer, _, _, _ := installation(b)
	at := place("event", "body")
	sealed, wrapped, err := sealer.Seal(bytes.Repeat([]byte("x"), 1024), at)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sealer.Open(sealed, wrapped, at); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMAC(b *testing.B) {
	_, index, _, _ := installation(b)
	source, id := []byte("crm"), []byte("msg_p5jXN8AQM9LWM0D4loKWxJek")
	b.ReportAllocs()
	for b.Loop() {
		index.MAC("dedupe", source, id)
	}
}
