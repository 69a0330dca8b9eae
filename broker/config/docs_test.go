package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/config.md")

//go:generate go test . -run TestMarkdown -update

func TestMarkdownIsUpToDate(t *testing.T) {
	const page = "../../docs/config.md"
	if *update {
		if err := os.WriteFile(page, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != Markdown() {
		t.Error("docs/config.md is not what the declarations say: go generate ./broker/config")
	}
	for _, d := range Defs() {
		if !d.Internal && !strings.Contains(string(have), "| `"+d.Name+"` |") {
			t.Errorf("%s is missing", d.Name)
		}
	}
}

func TestExplain(t *testing.T) {
	text, err := Explain("Log.Retention.ms")
	if err != nil {
		t.Fatal(err)
	}
	want(t, "text", text, `log.retention.ms (broker config)
  Age at which segments are deleted, in milliseconds; -1 means never. Unset means log.retention.minutes, then log.retention.hours.

  type       LONG
  default    unset
  allowed    a whole number of type LONG
  change     cluster-wide: while the brokers run, for one or for all
  importance high
  status     served
  topic      retention.ms
  synonyms   log.retention.ms, then log.retention.minutes, then log.retention.hours
`)
	for name, has := range map[string]string{
		"compression.type":                  "compression.type (topic config)",
		"listener.name.foo.max.connections": "max.connections for one listener.",
		"producer_byte_rate":                "config of user, client, dynamic only",
		"retention.ms":                      "broker     log.retention.ms, then log.retention.minutes, then log.retention.hours",
	} {
		if text, err := Explain(name); err != nil || !strings.Contains(text, has) {
			t.Errorf("%s: %v %s", name, err, text)
		}
	}
	for name, has := range map[string]string{"log.retention.mss": "did you mean log.retention.ms?", "segmnt.bytes": "did you mean segment.bytes?", "zz": "no configuration key zz"} {
		if _, err := Explain(name); err == nil || !strings.Contains(err.Error(), has) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
