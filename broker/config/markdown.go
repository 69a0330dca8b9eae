package config

import (
	"fmt"
	"slices"
	"strings"
)

// Markdown is the reference page of all keys, docs/config.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(markdownHead)
	for _, area := range areas {
		var defs []*Def
		for _, d := range Defs() {
			if d.Area == area && !d.Internal {
				defs = append(defs, d)
			}
		}
		slices.SortStableFunc(defs, func(a, b *Def) int { return strings.Compare(a.Name, b.Name) })
		fmt.Fprintf(&b, "\n## %s\n\n", area)
		switch area {
		case areaTopic:
			b.WriteString("| Key | Type | Default | Allowed | Broker default from | Status | Meaning |\n|---|---|---|---|---|---|---|\n")
		case areaDynamic:
			b.WriteString("| Key | Type | Default | Allowed | Of | Status | Meaning |\n|---|---|---|---|---|---|---|\n")
		default:
			b.WriteString("| Key | Type | Default | Allowed | Change | Status | Meaning |\n|---|---|---|---|---|---|---|\n")
		}
		for _, d := range defs {
			third := d.Mode.String()
			switch area {
			case areaTopic:
				third = code(d.Broker...)
			case areaDynamic:
				third = d.Entity
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n",
				d.Name, strings.ToLower(d.Type.String()), d.markdownDefault(), cell(d.Words), third, [...]string{"served", "accepted", "later"}[d.Mark], cell(d.Doc))
		}
	}
	return b.String()
}

const markdownHead = `# Configuration reference

<!-- Generated from the declarations in broker/config: go test ./broker/config -run TestMarkdown -update -->

Names, types and defaults are those of Apache Kafka 3.9. ` + "`ottla config explain KEY`" + ` prints one entry.

**Sources.** ` + "`--set key=value`" + ` wins over the environment, that over the configuration file, that over the default. The file is a
Kafka ` + "`server.properties`" + `, or YAML, TOML or JSON by its ending, with dotted or nested keys. Environment variables follow the
Kafka images: ` + "`KAFKA_LOG_RETENTION_HOURS`" + ` is ` + "`log.retention.hours`" + `, ` + "`__`" + ` stands for ` + "`_`" + ` and ` + "`___`" + ` for ` + "`-`" + `;
` + "`KAFKA_CFG_*`" + ` works too and wins; ` + "`NAME_FILE`" + ` reads the value from a file.

**Change** says how a value may change: *read-only* needs a restart; *per-broker* and *cluster-wide* keys can be changed while brokers
run (AlterConfigs), the first for one broker at a time.

**Status.** *served* has Kafka's effect. *accepted* is read, checked and reported but has no effect, for the reason given. *later* is not
served yet: its default is accepted, any other value refuses to start.

**Per listener.** ` + "`listener.name.<listener in lower case>.<key>`" + ` sets a key for one listener.

**Variables.** With ` + "`config.providers`" + `, ` + "`${env:NAME}`, `${file:/path:key}` and `${directory:/path:file}`" + ` in values are replaced, by
Kafka's built-in providers under their Java names.
`

func (d *Def) markdownDefault() string {
	switch {
	case d.dflt == nil:
		return "unset"
	case d.Default == "":
		return "empty"
	}
	return code(d.Default)
}

func code(names ...string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "`" + n + "`"
	}
	return strings.Join(quoted, ", ")
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
