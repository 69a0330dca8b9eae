package zkmeta

import "strings"

// ACLEntry is one rule of an ACLSet, in Kafka's words: User:alice, Allow, *, Read.
type ACLEntry struct {
	Principal      string `json:"principal"`
	PermissionType string `json:"permissionType"`
	Host           string `json:"host"`
	Operation      string `json:"operation"`
}

// ACLSet is /kafka-acl/<Type>/<name> and /kafka-acl-extended/prefixed/<Type>/<name>: the rules of one
// resource pattern.
type ACLSet struct{ ACLs []ACLEntry }

func (a ACLSet) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		w.array("acls", len(a.ACLs), func(i int) {
			e := a.ACLs[i]
			w.open('{')
			w.string("principal", e.Principal)
			w.string("permissionType", e.PermissionType)
			w.string("host", e.Host)
			w.string("operation", e.Operation)
			w.close('}')
		})
		w.int("version", 1)
	})
}

// DecodeACLSet reads the rules; no data means no rules.
func DecodeACLSet(data []byte) (ACLSet, error) {
	const what = "ACL node"
	if len(data) == 0 {
		return ACLSet{}, nil
	}
	var j struct {
		Version *int32     `json:"version"`
		ACLs    []ACLEntry `json:"acls"`
	}
	if err := decodeObject(what, data, &j); err != nil {
		return ACLSet{}, err
	}
	if j.Version == nil || *j.Version != 1 {
		return ACLSet{}, malformed(what, data, "not version 1")
	}
	for _, e := range j.ACLs {
		if e.Principal == "" || e.PermissionType == "" || e.Host == "" || e.Operation == "" {
			return ACLSet{}, malformed(what, data, "an incomplete rule")
		}
	}
	return ACLSet{j.ACLs}, nil
}

// ACLChange names the resource pattern whose rules changed.
type ACLChange struct {
	ResourceType string // TOPIC, GROUP, ...
	Name         string
	PatternType  string // LITERAL or PREFIXED
}

// Literal says that the change belongs under /kafka-acl-changes, in its own text format.
func (c ACLChange) Literal() bool { return c.PatternType == "LITERAL" }

func (c ACLChange) Encode() []byte {
	if c.Literal() {
		return []byte(c.ResourceType + ":" + c.Name)
	}
	return jsonObject(func(w *jsonWriter) {
		w.int("version", 1)
		w.string("resourceType", c.ResourceType)
		w.string("name", c.Name)
		w.string("patternType", c.PatternType)
	})
}

// DecodeLiteralACLChange reads a node of /kafka-acl-changes.
func DecodeLiteralACLChange(data []byte) (ACLChange, error) {
	kind, name, ok := strings.Cut(string(data), ":")
	if !ok || kind == "" || name == "" {
		return ACLChange{}, malformed("ACL change", data, "not TYPE:name")
	}
	return ACLChange{kind, name, "LITERAL"}, nil
}

// DecodeExtendedACLChange reads a node of /kafka-acl-extended-changes.
func DecodeExtendedACLChange(data []byte) (ACLChange, error) {
	const what = "extended ACL change"
	var j struct {
		Version *int32 `json:"version"`
		Type    string `json:"resourceType"`
		Name    string `json:"name"`
		Pattern string `json:"patternType"`
	}
	if err := decodeObject(what, data, &j); err != nil {
		return ACLChange{}, err
	}
	if j.Version == nil || *j.Version > 1 {
		return ACLChange{}, malformed(what, data, "not version 1")
	}
	if j.Type == "" || j.Name == "" || j.Pattern == "" || j.Pattern == "LITERAL" {
		return ACLChange{}, malformed(what, data, "no resource pattern")
	}
	return ACLChange{j.Type, j.Name, j.Pattern}, nil
}

// DelegationToken is /delegation_token/tokens/<id>. The HMAC is not stored. Principals are written as
// EncodeEntity encodes them ("User%3Aalice"); here they are plain ("User:alice").
type DelegationToken struct {
	ID        string
	Owner     string
	Requester string // the owner, in nodes of version 1 and 2
	Renewers  []string
	IssueMs   int64
	ExpiryMs  int64
	MaxMs     int64
}

func (t DelegationToken) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		renewers := make([]string, len(t.Renewers))
		for i, r := range t.Renewers {
			renewers[i] = EncodeEntity(r)
		}
		w.int("issueTimestamp", t.IssueMs)
		w.strings("renewers", renewers)
		w.string("tokenRequester", EncodeEntity(t.Requester))
		w.string("tokenId", t.ID)
		w.string("owner", EncodeEntity(t.Owner))
		w.int("expiryTimestamp", t.ExpiryMs)
		w.int("maxTimestamp", t.MaxMs)
		w.int("version", 3)
	})
}

// DecodeDelegationToken reads versions 1 to 3.
func DecodeDelegationToken(data []byte) (DelegationToken, error) {
	const what = "delegation token"
	var j struct {
		Version   *int32    `json:"version"`
		ID        string    `json:"tokenId"`
		Owner     string    `json:"owner"`
		Requester string    `json:"tokenRequester"`
		Renewers  []string  `json:"renewers"`
		Issue     jsonInt64 `json:"issueTimestamp"`
		Expiry    jsonInt64 `json:"expiryTimestamp"`
		Max       jsonInt64 `json:"maxTimestamp"`
	}
	if err := decodeObject(what, data, &j); err != nil {
		return DelegationToken{}, err
	}
	switch {
	case j.Version == nil || *j.Version < 1 || *j.Version > 3:
		return DelegationToken{}, malformed(what, data, "no supported version")
	case j.ID == "" || j.Owner == "" || !j.Issue.Set || !j.Max.Set || *j.Version > 1 && !j.Expiry.Set:
		return DelegationToken{}, malformed(what, data, "id, owner or a timestamp is missing")
	}
	t := DelegationToken{ID: j.ID, IssueMs: j.Issue.N, ExpiryMs: j.Expiry.N, MaxMs: j.Max.N}
	var err error
	if t.Owner, err = DecodeEntity(j.Owner); err != nil {
		return DelegationToken{}, malformed(what, data, err.Error())
	}
	t.Requester = t.Owner
	if *j.Version >= 3 {
		if t.Requester, err = DecodeEntity(j.Requester); err != nil || t.Requester == "" {
			return DelegationToken{}, malformed(what, data, "no token requester")
		}
	}
	for _, r := range j.Renewers {
		plain, err := DecodeEntity(r)
		if err != nil {
			return DelegationToken{}, malformed(what, data, err.Error())
		}
		t.Renewers = append(t.Renewers, plain)
	}
	return t, nil
}
