package api

// LogLevels are the levels of the broker's loggers, by name: the BROKER_LOGGER resource (KIP-412).
type LogLevels interface {
	All() map[string]string
	Set(name, level string) error
	Unset(name string) error
}
