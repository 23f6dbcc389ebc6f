package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// passwordFile holds the superuser's password. It is in the data directory, which only the
// server's account (and root) can enter.
const passwordFile = "insighthub.password"

// account runs the server; PostgreSQL does not run as root.
type account struct {
	uid, gid uint32
	switches bool
}

func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return account{}, fmt.Errorf("postgres does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("uid of nobody: %w", err)
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("gid of nobody: %w", err)
	}
	return account{uid: uint32(uid), gid: uint32(gid), switches: true}, nil
}

func (a account) credential() *syscall.Credential {
	if !a.switches {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// reaches returns an error that names the first folder on the way to each path that the
// account cannot enter: the server's own message ("could not access directory") does not.
func (a account) reaches(paths ...string) error {
	if !a.switches {
		return nil
	}
	for _, path := range paths {
		for at := path; ; at = filepath.Dir(at) {
			info, err := os.Stat(at)
			switch {
			case errors.Is(err, fs.ErrNotExist): // this process creates it later
			case err != nil:
				return err
			case !a.passes(info):
				return fmt.Errorf("the server runs as user nobody, who cannot enter %s (mode %v); use another folder or chmod o+x it", at,
					info.Mode().Perm())
			}
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	return nil
}

func (a account) passes(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && stat.Uid == a.uid:
		return mode&0o100 != 0
	case ok && stat.Gid == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// initialise creates the data directory if it is missing, and returns the superuser's
// password. It renames a finished folder, so that an interrupted initdb does not leave
// one that looks like a database.
func initialise(ctx context.Context, config Config, account account) (string, error) {
	password, err := os.ReadFile(filepath.Join(config.DataDir, passwordFile))
	if err == nil {
		return string(password), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if entries, err := os.ReadDir(config.DataDir); err == nil && len(entries) > 0 {
		return "", fmt.Errorf("%s has files, but not of this database", config.DataDir)
	}

	fresh := config.DataDir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(fresh), 0o755); err != nil { //nolint:gosec // the server's account has to enter it
		return "", err
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return "", err
	}
	secret := rand.Text()
	secretFile, err := os.CreateTemp("", "insighthub-initdb-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(secretFile.Name()) }()
	_, err = secretFile.WriteString(secret)
	if err := errors.Join(err, secretFile.Close()); err != nil {
		return "", err
	}
	for _, path := range []string{fresh, secretFile.Name()} {
		if err := account.own(path); err != nil {
			return "", err
		}
	}
	program := filepath.Join(config.Tree, "bin", "initdb")
	cmd := exec.CommandContext(ctx, program, "--pgdata="+fresh, "--username="+Superuser, //nolint:gosec // the project's own tree
		"--auth=scram-sha-256", "--pwfile="+secretFile.Name(), "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions",
		"--wal-segsize=16")
	cmd.Dir = fresh
	cmd.Env = []string{"PATH=/usr/bin:/bin", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account.credential(), Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := preallocateWAL(fresh, config.PreallocateWAL, account); err != nil {
		return "", fmt.Errorf("preallocate the write-ahead log: %w", err)
	}
	stored := filepath.Join(fresh, passwordFile)
	if err := os.WriteFile(stored, []byte(secret), 0o600); err != nil {
		return "", err
	}
	if err := account.own(stored); err != nil {
		return "", err
	}
	if err := os.Remove(config.DataDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return secret, os.Rename(fresh, config.DataDir)
}

// walFileBytes is initdb's default size of a WAL segment.
const walFileBytes = 16 << 20

// preallocateWAL writes files of zeros under the names of the next files of the server's
// log, as checkpoints do with files that they recycle. The first file, number 1 of
// timeline 1, is initdb's.
func preallocateWAL(dataDir string, files int, account account) error {
	zeros := make([]byte, walFileBytes)
	for n := 2; n < files+2; n++ {
		const filesPerLog = 1 << 32 / walFileBytes
		path := filepath.Join(dataDir, "pg_wal", fmt.Sprintf("%08X%08X%08X", 1, n/filesPerLog, n%filesPerLog))
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the folder is ours
		if err != nil {
			return err
		}
		_, err = f.Write(zeros)
		if err := errors.Join(err, f.Sync(), f.Close(), account.own(path)); err != nil {
			return err
		}
	}
	return nil
}

func (a account) own(path string) error {
	if !a.switches {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// lockFile is the content of the server's postmaster.pid.
type lockFile struct {
	pid    int
	status string
}

func readLockFile(dataDir string) (lockFile, error) {
	content, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid")) //nolint:gosec // the folder is ours
	if err != nil {
		return lockFile{}, err
	}
	lines := strings.Split(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return lockFile{}, fmt.Errorf("postmaster.pid: %w", err)
	}
	lock := lockFile{pid: pid}
	if len(lines) > 7 {
		lock.status = strings.TrimSpace(lines[7])
	}
	return lock, nil
}

// predecessor returns the process id of the server that uses the folder, or 0. A lock file
// that cannot be read, or is stale, is left to the server to judge.
func predecessor(dataDir string) int {
	lock, err := readLockFile(dataDir)
	if err != nil {
		return 0
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", lock.pid))
	if err != nil || !strings.Contains(string(cmdline), dataDir) {
		return 0
	}
	return lock.pid
}
