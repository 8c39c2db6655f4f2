package localpg

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// unprivileged is whom the server runs as when we are root; nil when we are not.
type unprivileged struct {
	name     string
	uid, gid uint32
}

// dropTo picks the user: postgres, which the packages make, else nobody.
func dropTo() (*unprivileged, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("localpg: user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("localpg: user %s: %w", name, err)
		}
		return &unprivileged{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("localpg: Postgres does not run as root, and there is neither a user postgres nor nobody to run it as")
}

// credential is the process attribute that drops to the user.
func (u *unprivileged) credential() *syscall.Credential {
	if u == nil {
		return nil
	}
	return &syscall.Credential{Uid: u.uid, Gid: u.gid}
}

// own gives a file or a folder to the user.
func (u *unprivileged) own(path string) error {
	if u == nil {
		return nil
	}
	if err := os.Chown(path, int(u.uid), int(u.gid)); err != nil {
		return fmt.Errorf("localpg: give %s to %s: %w", path, u.name, err)
	}
	return nil
}

// reach returns an error that names the folder on the way to path which the user may not pass.
func (u *unprivileged) reach(path string) error {
	if u == nil {
		return nil
	}
	for folder := filepath.Dir(path); ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil {
			return fmt.Errorf("localpg: %w", err)
		}
		if !u.passes(info) {
			return fmt.Errorf("localpg: the user %s, whom Postgres runs as, may not enter %s: choose another folder", u.name, folder)
		}
		if folder == filepath.Dir(folder) {
			return nil
		}
	}
}

func (u *unprivileged) passes(folder os.FileInfo) bool {
	mode := folder.Mode().Perm()
	owner, ok := folder.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return true
	case owner.Uid == u.uid:
		return mode&0o100 != 0
	case owner.Gid == u.gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// Reachable reports whether the user that the server would run as can reach a folder at path. For a user other than
// root that is always so.
func Reachable(path string) bool {
	u, err := dropTo()
	return err == nil && u.reach(path) == nil
}

// temporaryRoot is the folder for temporary clusters: the usual one, unless the user may not enter it.
func temporaryRoot(u *unprivileged) string {
	if folder := os.TempDir(); u.reach(filepath.Join(folder, "x")) == nil {
		return folder
	}
	return "/tmp"
}
