package storage

import (
	"fmt"
	"strconv"
	"strings"
)

// parseProperties reads the format of java.util.Properties in ISO 8859-1: key and value parted by =, : or blanks, comments after # and !, a
// backslash at the end of a line joins it with the next. The last of equal keys counts.
func parseProperties(data []byte) (map[string]string, error) {
	out := map[string]string{}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continues(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimLeft(lines[i], " \t\f")
		}
		at := 0
		for at < len(line) && !strings.ContainsRune("=: \t\f", rune(line[at])) {
			if line[at] == '\\' {
				at++
			}
			at++
		}
		at = min(at, len(line))
		value := strings.TrimLeft(line[at:], " \t\f")
		if value != "" && (value[0] == '=' || value[0] == ':') {
			value = strings.TrimLeft(value[1:], " \t\f")
		}
		key, err := unescapeProperty(line[:at])
		if err == nil {
			value, err = unescapeProperty(value)
		}
		if err != nil {
			return nil, err
		}
		out[key] = value
	}
	return out, nil
}

// continues says that a line ends in a backslash that is not itself escaped.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

func unescapeProperty(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteRune(rune(s[i]))
			continue
		}
		if i++; i == len(s) {
			break
		}
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			if i+4 >= len(s) {
				return "", fmt.Errorf("%q ends inside an escape", truncateText(s))
			}
			code, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf("%q has an escape that is none", truncateText(s))
			}
			b.WriteRune(rune(code))
			i += 4
		default:
			b.WriteRune(rune(s[i]))
		}
	}
	return b.String(), nil
}
