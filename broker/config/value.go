package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// parse reads raw as d's type and checks it, with the rules and messages of org.apache.kafka.common.config.ConfigDef.
func (d *Def) parse(raw string) (any, error) {
	v, reason := parseType(d.Type, raw)
	if reason != "" {
		return nil, &ValueError{Name: d.Name, Value: raw, Reason: reason, Words: d.words(), Secret: d.Sensitive()}
	}
	if d.check != nil {
		if shown, reason := d.check(v); reason != "" {
			return nil, &ValueError{Name: d.Name, Value: shown, Reason: reason, Words: d.words(), Secret: d.Sensitive()}
		}
	}
	return v, nil
}

// words says what the key may hold.
func (d *Def) words() string {
	var t string
	switch d.Type {
	case Boolean:
		return "true or false"
	case Int, Short, Long:
		t = "a whole number of type " + d.Type.String()
	case Double:
		t = "a number"
	case List:
		t = "a list with commas between"
	default:
		t = "text"
	}
	switch {
	case d.Words == "":
		return t
	case d.Type == Int || d.Type == Short || d.Type == Long || d.Type == Double:
		return t + ", " + d.Words
	}
	return d.Words
}

// javaTrim is String.trim: everything up to the blank goes.
func javaTrim(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }

func parseType(t Type, raw string) (v any, reason string) {
	s := javaTrim(raw)
	notNumber := "Not a number of type " + t.String()
	switch t {
	case Boolean:
		switch {
		case strings.EqualFold(s, "true"):
			return true, ""
		case strings.EqualFold(s, "false"):
			return false, ""
		}
		return nil, "Expected value to be either true or false"
	case Int:
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return nil, notNumber
		}
		return int32(n), ""
	case Short:
		n, err := strconv.ParseInt(s, 10, 16)
		if err != nil {
			return nil, notNumber
		}
		return int16(n), ""
	case Long:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, notNumber
		}
		return n, ""
	case Double:
		f, ok := parseDouble(s)
		if !ok {
			return nil, notNumber
		}
		return f, ""
	case List:
		return splitList(s), ""
	case PasswordType:
		return Password{s}, ""
	}
	return s, ""
}

// parseDouble is Double.parseDouble without hexadecimal and NaN: a NaN passes every range check of Kafka's and serves no key.
func parseDouble(s string) (float64, bool) {
	if s == "" || strings.Trim(s[:len(s)-1], "+-.0123456789eE") != "" {
		return 0, false
	}
	switch s[len(s)-1] {
	case 'f', 'F', 'd', 'D':
		s = s[:len(s)-1]
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(f) {
		return 0, false
	}
	return f, true
}

// splitList splits at commas and takes the blanks around them away; an empty string is an empty list.
func splitList(s string) []string {
	if s = javaTrim(s); s == "" {
		return []string{}
	}
	items := strings.Split(s, ",")
	for i := range items {
		items[i] = strings.Trim(items[i], " \t\n\v\f\r")
	}
	return items
}

// format writes a value as DescribeConfigs shows it (ConfigDef.convertToString). Secrets come out as they are; callers mask.
func format(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		return strconv.FormatBool(v)
	case string:
		return v
	case int16:
		return strconv.FormatInt(int64(v), 10)
	case int32:
		return strconv.FormatInt(int64(v), 10)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return formatDouble(v)
	case []string:
		return strings.Join(v, ",")
	case Password:
		return v.text
	}
	panic("config: no format for this type")
}

// formatDouble is Java's Double.toString: plain between 1e-3 and 1e7, otherwise computerised scientific notation (1.0E9).
func formatDouble(f float64) string {
	abs := math.Abs(f)
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0 || abs >= 1e-3 && abs < 1e7:
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(n)
}
