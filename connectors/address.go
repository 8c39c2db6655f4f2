package connectors

import (
	"errors"
	"net/netip"
	"syscall"
)

// errAddressDenied marks a connection that was refused before it was tried.
var errAddressDenied = errors.New("address denied")

// deniedPrefixes are the networks that no vendor lives in, beside those that netip knows by name. An address that
// embeds another one (NAT64, 6to4, Teredo) is denied whatever it embeds.
var deniedPrefixes = prefixes(
	"0.0.0.0/8",        // this network
	"100.64.0.0/10",    // carrier-grade NAT
	"168.63.129.16/32", // Azure's metadata address, in public space
	"192.0.0.0/24",     // IETF protocol assignments
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"198.18.0.0/15",    // benchmarking
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"240.0.0.0/4",      // reserved and broadcast
	"::/96",            // IPv4-compatible
	"64:ff9b::/96",     // NAT64
	"64:ff9b:1::/48",   // local NAT64
	"100::/64",         // discard
	"2001::/32",        // Teredo
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4
	"3fff::/20",        // documentation
	"5f00::/16",        // segment routing
	"fec0::/10",        // site-local
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// admit reports whether the transport may connect to the address. It sees what the resolver returned, at the moment of
// the connect, so a name that resolves differently the second time gains nothing (A23).
func admit(addr netip.Addr, allowLoopback bool) bool {
	addr = addr.WithZone("")
	if addr.Is4In6() {
		// An IPv4 address is dialled as one; in this dress it comes from somewhere else.
		return false
	}
	if addr.IsLoopback() {
		return allowLoopback
	}
	// fd00:ec2::254, the metadata address of EC2, is private (unique local).
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, p := range deniedPrefixes {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}

// control is the dialer's hook between the socket and its connect.
func control(allowed func(netip.Addr) bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		target, err := netip.ParseAddrPort(address)
		if err != nil || !allowed(target.Addr()) {
			return errAddressDenied
		}
		return nil
	}
}
