package temporalserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/tools/common/schema"
	sqltool "go.temporal.io/server/tools/sql"
)

// The number of history shards is stored in the state and cannot be changed later. Postgres gains from 16; SQLite has
// one writer.
const (
	postgresShards = 16
	sqliteShards   = 4
)

// connections a service may open to each of its two databases; four services make at most 80.
const connections = 10

// storage is where the server keeps workflows, and where it keeps their searchable list.
type storage struct{ main, visibility *config.SQL }

// prepare sets the schema up, or brings it up to the server's version.
func prepare(opts Options) (*storage, int32, error) {
	if opts.SQLite != "" {
		store, err := prepareSQLite(opts.SQLite)
		return store, sqliteShards, err
	}
	store, err := preparePostgres(opts.Postgres)
	return store, postgresShards, err
}

func preparePostgres(address string) (*storage, error) {
	server, err := url.Parse(address)
	if err != nil || server.Host == "" {
		return nil, errors.New("temporalserver: the Postgres address is not a URL") // the parser would quote the password
	}
	store := &storage{main: postgres(server, "temporal"), visibility: postgres(server, "temporal_visibility")}
	for _, part := range []struct {
		cfg    *config.SQL
		schema string
	}{
		{store.main, "postgresql/v12/temporal"},
		{store.visibility, "postgresql/v12/visibility"},
	} {
		if err := migrate(*part.cfg, part.schema); err != nil {
			return nil, fmt.Errorf("temporalserver: schema of %s: %w", part.cfg.DatabaseName, err)
		}
	}
	return store, nil
}

func postgres(server *url.URL, database string) *config.SQL {
	password, _ := server.User.Password()
	return &config.SQL{
		PluginName: postgresql.PluginNamePGX, ConnectProtocol: "tcp", ConnectAddr: server.Host, DatabaseName: database,
		User: server.User.Username(), Password: password, MaxConns: connections, MaxIdleConns: connections,
	}
}

// migrate makes the database and its tables. The steps are those of temporal-sql-tool, whose own command line would end
// the process on an error and print the connection's settings.
func migrate(cfg config.SQL, name string) error {
	quiet := log.NewNoopLogger()
	made := cfg // creating forgets the name of the database
	if err := sqltool.DoCreateDatabase(&made, "", quiet); err != nil {
		return err
	}
	db, err := sqltool.NewConnection(&cfg, quiet)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := schema.NewSetupSchemaTask(db, &schema.SetupConfig{InitialVersion: "0.0"}, quiet).Run(); err != nil {
		return err
	}
	return schema.NewUpdateSchemaTask(db, &schema.UpdateConfig{DBName: cfg.DatabaseName, SchemaName: name}, quiet).Run()
}

// prepareSQLite makes the file under another name first: one that a killed start left half made would not be mended,
// because SQLite's schema has no upgrades.
func prepareSQLite(file string) (*storage, error) {
	if strings.ContainsAny(file, "?#%") {
		return nil, errors.New("temporalserver: the SQLite file's name may not hold ?, # or %")
	}
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		draft := file + ".new"
		for _, old := range []string{draft, draft + "-wal", draft + "-shm"} {
			if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("temporalserver: %w", err)
			}
		}
		if err := sqliteschema.SetupSchema(sqliteFile(draft, "delete")); err != nil {
			return nil, fmt.Errorf("temporalserver: SQLite schema: %w", err)
		}
		err = os.Rename(draft, file)
	}
	if err != nil {
		return nil, fmt.Errorf("temporalserver: %w", err)
	}
	cfg := sqliteFile(file, "wal")
	return &storage{main: cfg, visibility: cfg}, nil
}

func sqliteFile(file, journal string) *config.SQL {
	return &config.SQL{PluginName: sqlite.PluginName, DatabaseName: file, ConnectAttributes: map[string]string{
		"mode": "rwc", "journal_mode": journal, "synchronous": "normal", "busy_timeout": "10000",
	}}
}
