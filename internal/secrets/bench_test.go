package secrets

import (
	"bytes"
	"strings"
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

func BenchmarkMaskText(b *testing.B) {
	text := strings.Repeat("Customer called at 14:05 on 2026-10-27 about order 0000017c-1d2f-4e6a-9d0c-3a8b7e5f1c24. ", 10)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		MaskText(text)
	}
}
