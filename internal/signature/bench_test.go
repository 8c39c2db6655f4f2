package signature

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkVerify(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, s := range senders {
		b.Run(s.name, func(b *testing.B) {
			secret := s.secret(random)
			v := verifier(b, s.source, atNoon, secret)
			request := s.sign(secret, s.draw(random, noon))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
