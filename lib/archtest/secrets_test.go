package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// guarded are the functions that compare a secret, and the only files that may name them: what
// looks at a password or an assertion counts the attempt where it can be guessed, and tells
// the audit trail (ADR 37).
func guarded() map[string][]string {
	return map[string][]string{
		module + "/lib/password.Verify":                     {"lib/credential/credential.go"},
		module + "/lib/token.VerifyAssertion":               {"lib/access/assertion.go"},
		"crypto/subtle.ConstantTimeCompare":                 {"lib/password/password.go"},
		"crypto/hmac.Equal":                                 nil,
		"golang.org/x/crypto/argon2.IDKey":                  {"lib/password/password.go"},
		"golang.org/x/crypto/bcrypt.CompareHashAndPassword": nil,
	}
}

// TestSecretsAreVerifiedInOnePlace reads every source file of lib and functions.
func TestSecretsAreVerifiedInOnePlace(t *testing.T) {
	found := make(map[string][]string)
	for _, folder := range []string{"lib", "functions"} {
		err := filepath.WalkDir(filepath.Join("..", "..", folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			for name := range uses(file) {
				if _, ok := guarded()[name]; ok {
					found[name] = append(found[name], filepath.ToSlash(strings.TrimPrefix(path, filepath.Join("..", "..")+"/")))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(guarded())) {
		if diff := cmp.Diff(guarded()[name], found[name]); diff != "" {
			t.Errorf("%s (-allowed +named):\n%s", name, diff)
		}
	}
}

// uses returns what a file names of the packages that it imports, as path.Name.
func uses(file *ast.File) map[string]bool {
	imports := make(map[string]string) // by the local name
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		local := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			local = spec.Name.Name
		}
		imports[local] = path
	}
	named := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if local, ok := selector.X.(*ast.Ident); ok && imports[local.Name] != "" {
				named[imports[local.Name]+"."+selector.Sel.Name] = true
			}
		}
		return true
	})
	return named
}
