package zkmeta

import (
	"fmt"
	"strings"
)

// ConfigEntity is /config/<type>/<entity>: overrides, all of them strings.
type ConfigEntity struct{ Config map[string]string }

func (c ConfigEntity) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		w.int("version", 1)
		w.object("config", func() {
			for _, k := range sortedKeys(c.Config) {
				w.string(k, c.Config[k])
			}
		})
	})
}

// DecodeConfig reads an entity; null data (a node that is only a parent) has no overrides.
func DecodeConfig(data []byte) (ConfigEntity, error) {
	const what = "config entity"
	if len(data) == 0 {
		return ConfigEntity{Config: map[string]string{}}, nil
	}
	var j struct {
		Config map[string]*string `json:"config"`
	}
	if err := decodeObject(what, data, &j); err != nil {
		return ConfigEntity{}, err
	}
	c := ConfigEntity{Config: make(map[string]string, len(j.Config))}
	for k, v := range j.Config {
		if v == nil {
			return ConfigEntity{}, fmt.Errorf("%s: %s has the value null", what, k)
		}
		c.Config[k] = *v
	}
	return c, nil
}

// ConfigChange is /config/changes/config_change_N: "topics/t", "users/alice/clients/c1", "brokers/<default>".
type ConfigChange struct{ EntityPath string }

func (c ConfigChange) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		w.int("version", 2)
		w.string("entity_path", c.EntityPath)
	})
}

// DecodeConfigChange reads versions 1 (entity type and name) and 2.
func DecodeConfigChange(data []byte) (ConfigChange, error) {
	const what = "config change"
	var j struct {
		Version *int32  `json:"version"`
		Path    *string `json:"entity_path"`
		Type    *string `json:"entity_type"`
		Name    *string `json:"entity_name"`
	}
	if err := decodeObject(what, data, &j); err != nil {
		return ConfigChange{}, err
	}
	switch {
	case j.Version == nil:
		return ConfigChange{}, malformed(what, data, `no "version"`)
	case *j.Version == 1 && j.Type != nil && j.Name != nil:
		return ConfigChange{*j.Type + "/" + *j.Name}, nil
	case *j.Version == 2 && j.Path != nil && strings.Contains(*j.Path, "/"):
		return ConfigChange{*j.Path}, nil
	}
	return ConfigChange{}, malformed(what, data, "no entity in version 1 or 2")
}

// LogDirFailure is the only event of LogDirEvent.
const LogDirFailure int32 = 1

// LogDirEvent is /log_dir_event_notification/log_dir_event_N: a broker lost a log directory.
type LogDirEvent struct{ Broker int32 }

func (e LogDirEvent) Encode() []byte {
	return jsonObject(func(w *jsonWriter) {
		w.int("version", 1)
		w.int("broker", int64(e.Broker))
		w.int("event", int64(LogDirFailure))
	})
}

func DecodeLogDirEvent(data []byte) (LogDirEvent, error) {
	var j struct {
		Broker *int32 `json:"broker"`
	}
	if err := decodeObject("log dir event", data, &j); err != nil {
		return LogDirEvent{}, err
	}
	if err := required("log dir event", data, "broker", j.Broker != nil); err != nil {
		return LogDirEvent{}, err
	}
	return LogDirEvent{*j.Broker}, nil
}
