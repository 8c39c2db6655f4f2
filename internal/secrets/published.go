package secrets

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
)

// DemoMarker begins every secret that the demo makes for itself, before any encoding.
const DemoMarker = "lockstep-demo"

// publishedDigests are SHA-256 digests of secrets that stand in documentation: the vendors' signature samples and the
// usual placeholders. Digests, so that nobody copies a secret from here.
var publishedDigests = []string{
	"6adbfd178516c8efe5896d4d0d66d2704d167cbb4ca881efde33af658d39826f", // Slack's sample
	"96ad2ccd81462a766178ae09a71df55f548a3f66da11606f9cdf40b391e22dd0", // Standard Webhooks' sample
	"2590388f27dccae86911009528d7f302a6909c6ef2ce2a8630274270c49f9979", // Zendesk's test secret
	"7418bfa6cc65d7a81654375ae616e2e41e57d88cf56f6390fb3438ee5155bf13", // HubSpot's sample
	"057ba03d6c44104863dc7361fe4578965d1887360f90a0895882e58a6248fc86", // a placeholder
	"5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8", // a placeholder
	"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", // a placeholder
	"7afb4c3889fd608668a69adf181c4218fb70bee515c2320bbc828839a3989fc2", // a placeholder
}

// published reports whether everybody may know the secret.
func published(secret []byte) bool {
	if bytes.Contains(secret, []byte(DemoMarker)) {
		return true
	}
	encoded := bytes.TrimPrefix(secret, []byte("whsec_"))
	if decoded, err := base64.StdEncoding.DecodeString(string(encoded)); err == nil && bytes.Contains(decoded, []byte(DemoMarker)) {
		return true
	}
	digest := sha256.Sum256(secret)
	return slices.Contains(publishedDigests, hex.EncodeToString(digest[:]))
}
