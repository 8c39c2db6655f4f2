package connectors

import (
	"context"
	"net/http"

	"lockstep/schema"
)

// Session sends requests with an access token. It is safe for concurrent use.
type Session struct {
	// System is the system's name in the integration map.
	System    string
	Transport *Transport
	Tokens    *TokenSource
	// Endpoint is the base of requests unless the token names another.
	Endpoint string
}

// Do sends the request once. A 401 has applied nothing: it invalidates exactly the token that was refused and the
// request goes out a second time with a new one; a second 401 is AuthExpired. Nothing else is ever sent twice, and
// nothing else renews a token (D07). Errors are *Error: those of Transport.Do and TokenSource.Token.
func (s *Session) Do(ctx context.Context, r Request) (*Response, error) {
	token, err := s.Tokens.Token(ctx)
	if err != nil {
		return nil, err
	}
	response, err := s.send(ctx, r, token)
	if err != nil || response.Status != http.StatusUnauthorized {
		return response, err
	}
	s.Tokens.Invalidate(token)
	if token, err = s.Tokens.Token(ctx); err != nil {
		return nil, err
	}
	response, err = s.send(ctx, r, token)
	if err != nil || response.Status != http.StatusUnauthorized {
		return response, err
	}
	return nil, &Error{System: s.System, Kind: schema.AuthExpired, Status: http.StatusUnauthorized}
}

func (s *Session) send(ctx context.Context, r Request, token Token) (*Response, error) {
	r.Base = or(token.base, s.Endpoint)
	header := r.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Authorization", "Bearer "+token.secret)
	r.Header = header
	return s.Transport.Do(ctx, r)
}
