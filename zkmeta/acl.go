package zkmeta

import "strings"

// ACL is one entry of a node's access control list.
type ACL struct {
	Perms  int32
	Scheme string // world, auth, digest, x509, ip, sasl
	ID     string
}

// Permissions of an ACL, as bits.
const (
	PermRead   int32 = 1
	PermWrite  int32 = 2
	PermCreate int32 = 4
	PermDelete int32 = 8
	PermAdmin  int32 = 16
	PermAll    int32 = 31
)

// OpenACL lets everybody do everything: Kafka's choice with zookeeper.set.acl=false.
func OpenACL() []ACL { return []ACL{{PermAll, "world", "anyone"}} }

// DefaultACL is the ACL that Kafka gives a new node at path (without chroot): open unless secure
// (zookeeper.set.acl). A secure node is the creator's alone and, unless it holds secrets, readable by
// all; /consumers itself stays open for the old clients that write below it (ZkData.defaultAcls).
func DefaultACL(path string, secure bool) []ACL {
	if !secure || path == ConsumersRoot {
		return OpenACL()
	}
	acl := []ACL{{PermAll, "auth", ""}}
	if !sensitive(path) {
		acl = append(acl, ACL{PermRead, "world", "anyone"})
	}
	return acl
}

// sensitivePaths hold passwords or tokens (ZkData.SensitiveRootPaths).
var sensitivePaths = []string{ConfigRoot + "/users", ConfigRoot + "/brokers", DelegationTokens}

func sensitive(path string) bool {
	for _, p := range sensitivePaths {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}
