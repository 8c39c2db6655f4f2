package stack

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"github.com/lib/pq"
)

// The roles that share the server: the application cannot touch Temporal's tables, nor Temporal the application's, and
// the application works with rows that its owner made the tables for.
const (
	applicationRole = "lockstep"
	ownerRole       = "lockstep_owner"
	temporalRole    = "temporal"
	// rightsRole holds the rights that the migrations give the application.
	rightsRole = "lockstep_app"
	// applicationDatabase belongs to the owner.
	applicationDatabase = "lockstep"
)

// databases are the addresses of the server's databases, each with its role's name and password.
type databases struct{ application, owner, temporal string }

// roles makes the roles, with new passwords at each start, and the application's database. address is the superuser's.
func roles(ctx context.Context, address string) (_ databases, err error) {
	db, err := sql.Open("postgres", address)
	if err != nil {
		return databases{}, fmt.Errorf("postgres: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	made := map[string]string{}
	for name, right := range map[string]string{
		applicationRole: "LOGIN", ownerRole: "LOGIN CREATEROLE", temporalRole: "LOGIN CREATEDB", rightsRole: "NOLOGIN",
	} {
		if made[name], err = role(ctx, db, address, name, right); err != nil {
			return databases{}, err
		}
	}
	if _, err := db.ExecContext(ctx, "GRANT "+rightsRole+" TO "+applicationRole); err != nil {
		return databases{}, fmt.Errorf("postgres: rights of the application: %w", err)
	}
	if err := database(ctx, db, applicationDatabase, ownerRole, applicationRole); err != nil {
		return databases{}, err
	}
	return databases{
		application: withDatabase(made[applicationRole], applicationDatabase),
		owner:       withDatabase(made[ownerRole], applicationDatabase),
		temporal:    withDatabase(made[temporalRole], "postgres"),
	}, nil
}

// role makes sure of a role and returns the server's address with its name and password.
func role(ctx context.Context, db *sql.DB, address, name, right string) (string, error) {
	password := rand.Text()
	exists, err := found(ctx, db, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name)
	if err != nil {
		return "", err
	}
	verb := "CREATE"
	if exists {
		verb = "ALTER"
	}
	// A password cannot be a parameter of these statements.
	if _, err := db.ExecContext(ctx, verb+" ROLE "+pq.QuoteIdentifier(name)+" "+right+
		" PASSWORD "+pq.QuoteLiteral(password)); err != nil {
		return "", fmt.Errorf("postgres: role %s: %w", name, err)
	}
	server, err := url.Parse(address)
	if err != nil {
		return "", errors.New("postgres: the address cannot be read")
	}
	server.User = url.UserPassword(name, password)
	return server.String(), nil
}

// database makes sure of a database that only its owner and one user may connect to.
func database(ctx context.Context, db *sql.DB, name, owner, user string) error {
	exists, err := found(ctx, db, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name)
	if err != nil || exists {
		return err
	}
	for _, statement := range []string{
		"CREATE DATABASE " + pq.QuoteIdentifier(name) + " OWNER " + pq.QuoteIdentifier(owner) + " TEMPLATE template0",
		"REVOKE CONNECT ON DATABASE " + pq.QuoteIdentifier(name) + " FROM PUBLIC",
		"GRANT CONNECT ON DATABASE " + pq.QuoteIdentifier(name) + " TO " + pq.QuoteIdentifier(user),
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("postgres: database %s: %w", name, err)
		}
	}
	return nil
}

func found(ctx context.Context, db *sql.DB, query, name string) (bool, error) {
	var exists bool
	if err := db.QueryRowContext(ctx, query, name).Scan(&exists); err != nil {
		return false, fmt.Errorf("postgres: look for %s: %w", name, err)
	}
	return exists, nil
}

func withDatabase(address, name string) string {
	server, err := url.Parse(address)
	if err != nil {
		return address // it was built from a URL just now
	}
	server.Path = "/" + name
	return server.String()
}
