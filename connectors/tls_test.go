package connectors

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockstep/schema"
)

// authority is a certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, parent *authority, adjust func(*x509.Certificate)) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if adjust != nil {
		adjust(template)
	}
	signer, signed := key, template
	if parent != nil {
		signer, signed = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signed, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key}
}

// issue makes a server's certificate.
func (a *authority) issue(t *testing.T, public, private any, adjust func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	if private == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, private = &key.PublicKey, key
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "127.0.0.1"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if adjust != nil {
		adjust(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// B15: a server that cannot prove to be the vendor gets no request, and no setting lifts that.
func TestB15BadCertificates(t *testing.T) {
	good := newAuthority(t, nil, nil)
	other := newAuthority(t, nil, nil)
	leafAuthority := newAuthority(t, good, func(c *x509.Certificate) { c.IsCA = false })
	middle := newAuthority(t, good, nil)
	expiredMiddle := newAuthority(t, good, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	elsewhere := newAuthority(t, good, func(c *x509.Certificate) {
		c.PermittedIPRanges = []*net.IPNet{{IP: net.IPv4(192, 0, 2, 0).To4(), Mask: net.CIDRMask(24, 32)}}
	})
	noPath := newAuthority(t, newAuthority(t, good, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }), nil)
	chained := func(c tls.Certificate, above ...*authority) tls.Certificate {
		for _, a := range above {
			c.Certificate = append(c.Certificate, a.cert.Raw)
		}
		return c
	}
	fine := good.issue(t, nil, nil, nil)
	stranger := good.issue(t, nil, nil, nil)
	cases := map[string]*tls.Config{
		"expired":              {Certificates: []tls.Certificate{good.issue(t, nil, nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}},
		"not yet valid":        {Certificates: []tls.Certificate{good.issue(t, nil, nil, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour / 2) })}},
		"for another host":     {Certificates: []tls.Certificate{good.issue(t, nil, nil, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} })}},
		"name in the CN alone": {Certificates: []tls.Certificate{good.issue(t, nil, nil, func(c *x509.Certificate) { c.IPAddresses = nil })}},
		"DNS name for an IP":   {Certificates: []tls.Certificate{good.issue(t, nil, nil, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"localhost"} })}},
		"unknown authority":    {Certificates: []tls.Certificate{other.issue(t, nil, nil, nil)}},
		"self-signed":          {Certificates: []tls.Certificate{{Certificate: [][]byte{other.cert.Raw}, PrivateKey: other.key}}},
		"intermediate missing": {Certificates: []tls.Certificate{middle.issue(t, nil, nil, nil)}},
		"intermediate expired": {Certificates: []tls.Certificate{chained(expiredMiddle.issue(t, nil, nil, nil), expiredMiddle)}},
		"issued by a leaf":     {Certificates: []tls.Certificate{chained(leafAuthority.issue(t, nil, nil, nil), leafAuthority)}},
		"outside constraints":  {Certificates: []tls.Certificate{chained(elsewhere.issue(t, nil, nil, nil), elsewhere)}},
		"path too long":        {Certificates: []tls.Certificate{chained(noPath.issue(t, nil, nil, nil), noPath)}},
		"for clients only":     {Certificates: []tls.Certificate{good.issue(t, nil, nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })}},
		"unknown critical field": {Certificates: []tls.Certificate{good.issue(t, nil, nil, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		})}},
		"TLS 1.0":               {Certificates: []tls.Certificate{fine}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
		"TLS 1.1":               {Certificates: []tls.Certificate{fine}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"another's certificate": {Certificates: []tls.Certificate{{Certificate: fine.Certificate, PrivateKey: stranger.PrivateKey}}},
	}
	if len(cases) < 12 {
		t.Fatal("too few cases")
	}
	roots := x509.NewCertPool()
	roots.AddCert(good.cert)
	for name, config := range cases {
		t.Run(name, func(t *testing.T) {
			e := askSecure(t, config, roots)
			if e.Kind != schema.Unavailable || (e.Code != CodeTLS && e.Code != CodeTimeout) {
				t.Errorf("got %v, want Unavailable", e)
			}
		})
	}
	t.Run("good", func(t *testing.T) {
		asked := 0
		transport, base := secureServer(t, &tls.Config{Certificates: []tls.Certificate{chained(middle.issue(t, nil, nil, nil), middle)}}, roots, func() { asked++ })
		if _, err := transport.Do(t.Context(), Request{Method: http.MethodGet, Base: base, Route: "/things"}); err != nil || asked != 1 {
			t.Errorf("a good server is refused: %v", err)
		}
	})
}

func askSecure(t *testing.T, config *tls.Config, roots *x509.CertPool) *Error {
	t.Helper()
	transport, base := secureServer(t, config, roots, func() { t.Error("a request went out") })
	return ask(t, t.Context(), transport, base, true)
}

func secureServer(t *testing.T, config *tls.Config, roots *x509.CertPool, asked func()) (*Transport, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked()
		_, _ = io.WriteString(w, "{}")
	}))
	server.TLS = config
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Listener = tls.NewListener(server.Listener, config)
	server.Start()
	t.Cleanup(server.Close)
	base := strings.Replace(server.URL, "http://", "https://", 1)
	return reach(t, base, func(c *TransportConfig) { c.RootCAs = roots }), base
}
