package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ottla/compat-tests/internal/testjson"
)

// kgoCommand runs those tests of franz-go's client package that talk to a broker, from the source of the version in
// go.mod. The module cache is read-only and the tests need their module as the main one, so it is copied.
func kgoCommand(dir, bootstrap string, waiting *pending) (*exec.Cmd, func(*testjson.Test) bool, error) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/twmb/franz-go")
	list.Dir = dir
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("find franz-go: %w", err)
	}
	source := strings.TrimSpace(string(out))
	if source == "" {
		return nil, nil, fmt.Errorf("franz-go is not in the module cache: run `go mod download` in %s", dir)
	}
	work, err := copyModule(source)
	if err != nil {
		return nil, nil, err
	}
	tests, err := brokerTests(filepath.Join(source, "pkg", "kgo"))
	if err != nil {
		return nil, nil, err
	}
	if len(tests) == 0 {
		return nil, nil, fmt.Errorf("no test of %s talks to a broker", source)
	}
	args := []string{"test", "-json", "-count=1", "-timeout=15m", "-run", "^(" + strings.Join(tests, "|") + ")$"}
	if skip := waiting.skip("kgo"); skip != "" {
		args = append(args, "-skip", skip)
	}
	cmd := exec.Command("go", append(args, "./pkg/kgo")...)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "KGO_SEEDS="+bootstrap, "KGO_TEST_RF=1", "KGO_LOG_LEVEL=none", "GOFLAGS=-mod=mod")
	if os.Getenv("KGO_TEST_RECORDS") == "" {
		cmd.Env = append(cmd.Env, "KGO_TEST_RECORDS=50000")
	}
	top := func(t *testjson.Test) bool { return t.Name == t.Top() }
	return cmd, top, nil
}

// copyModule copies a module out of the read-only cache, to a place that is reused.
func copyModule(source string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	work := filepath.Join(cache, "ottla-compat", filepath.Base(source))
	if _, err := os.Stat(filepath.Join(work, "copied")); err == nil {
		return work, nil
	}
	if err := os.RemoveAll(work); err != nil {
		return "", err
	}
	if err := os.CopyFS(work, os.DirFS(source)); err != nil {
		return "", fmt.Errorf("copy %s: %w", source, err)
	}
	err = filepath.WalkDir(work, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o755)
		}
		return os.Chmod(path, 0o644)
	})
	if err != nil {
		return "", err
	}
	return work, os.WriteFile(filepath.Join(work, "copied"), nil, 0o644)
}

// roots are the functions of the package's tests through which every connection to the broker under test is made.
var roots = []string{"newTestClient", "testClientOpts", "getSeedBrokers", "adm"}

// brokerTests returns the test functions of a package from which a root can be reached by calls.
func brokerTests(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	uses := map[string]map[string]bool{} // function → identifiers in its body
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			ids := uses[fn.Name.Name]
			if ids == nil {
				ids = map[string]bool{}
				uses[fn.Name.Name] = ids
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					ids[id.Name] = true
				}
				return true
			})
		}
	}
	reaches := map[string]bool{}
	for _, r := range roots {
		reaches[r] = true
	}
	for changed := true; changed; {
		changed = false
		for fn, ids := range uses {
			if reaches[fn] {
				continue
			}
			for id := range ids {
				if reaches[id] && (uses[id] != nil) {
					reaches[fn], changed = true, true
					break
				}
			}
		}
	}
	var tests []string
	for fn := range uses {
		if reaches[fn] && strings.HasPrefix(fn, "Test") && fn != "TestMain" {
			tests = append(tests, fn)
		}
	}
	slices.Sort(tests)
	return tests, nil
}
