package api

import (
	"ottla/coordinator/group"
	"ottla/wire"
)

// client is what the group coordinator keeps of a member's connection.
func client(c *wire.Call) group.Client {
	return group.Client{ID: c.Header.ClientID, Host: c.Conn.ClientHost()}
}
