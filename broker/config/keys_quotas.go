package config

// Quotas and metrics.

var AlterLogDirsReplicationQuotaWindowNum = define(areaQuotas, Key[int32]{
	Name: "alter.log.dirs.replication.quota.window.num", Default: 11,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "Windows kept to measure moves between log directories; without effect here, where their rate is measured continuously.",
})

var AlterLogDirsReplicationQuotaWindowSizeSeconds = define(areaQuotas, Key[int32]{
	Name: "alter.log.dirs.replication.quota.window.size.seconds", Default: 1,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "Length of a window to measure moves between log directories, in seconds; without effect here.",
})

var ClientQuotaCallbackClass = define(areaQuotas, Key[string]{
	Name: "client.quota.callback.class", Class: true, Null: true,
	Check: KnownClass(),
	Mark:  Later,
	Doc:   "Java class that computes client quotas; Java plug-ins cannot be loaded.",
})

var ControllerQuotaWindowNum = define(areaQuotas, Key[int32]{
	Name: "controller.quota.window.num", Default: 11,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "Windows kept to measure topic changes; that quota is not served yet.",
})

var ControllerQuotaWindowSizeSeconds = define(areaQuotas, Key[int32]{
	Name: "controller.quota.window.size.seconds", Default: 1,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "Length of a window to measure topic changes, in seconds; that quota is not served yet.",
})

var KafkaMetricsPollingIntervalSecs = define(areaQuotas, Key[int32]{
	Name: "kafka.metrics.polling.interval.secs", Default: 10,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "How often Java metrics reporters are called, in seconds; without effect here.",
})

var KafkaMetricsReporters = define(areaQuotas, Key[[]string]{
	Name: "kafka.metrics.reporters",
	Mark: Accept,
	Doc:  "Java metrics reporters; they cannot be loaded and are left out, metrics are served over HTTP.",
})

var MetricReporters = define(areaQuotas, Key[[]string]{
	Name:   "metric.reporters",
	Update: ClusterWide, Mark: Accept,
	Doc: "Java metrics reporters; they cannot be loaded and are left out, metrics are served over HTTP.",
})

var MetricsNumSamples = define(areaQuotas, Key[int32]{
	Name: "metrics.num.samples", Default: 2,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "Samples kept per Kafka metric; Prometheus keeps the history instead.",
})

var MetricsRecordingLevel = define(areaQuotas, Key[string]{
	Name: "metrics.recording.level", Default: "INFO",
	Mark: Accept,
	Doc:  "Detail of Kafka's metrics; all metrics here are always recorded.",
})

var MetricsSampleWindowMs = define(areaQuotas, Key[int64]{
	Name: "metrics.sample.window.ms", Default: 30_000,
	Check: AtLeast[int64](1),
	Mark:  Accept,
	Doc:   "Length of a metric sample, in milliseconds; Prometheus keeps the history instead.",
})

var QuotaWindowNum = define(areaQuotas, Key[int32]{
	Name: "quota.window.num", Default: 11,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "Windows kept to measure client quotas; they are not served yet.",
})

var QuotaWindowSizeSeconds = define(areaQuotas, Key[int32]{
	Name: "quota.window.size.seconds", Default: 1,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "Length of a window to measure client quotas, in seconds; they are not served yet.",
})

var ReplicationQuotaWindowNum = define(areaQuotas, Key[int32]{
	Name: "replication.quota.window.num", Default: 11,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "Windows kept to measure throttled replication; without effect here, where its rate is measured continuously.",
})

var ReplicationQuotaWindowSizeSeconds = define(areaQuotas, Key[int32]{
	Name: "replication.quota.window.size.seconds", Default: 1,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "Length of a window to measure throttled replication, in seconds; without effect here.",
})

var TelemetryMaxBytes = define(areaQuotas, Key[int32]{
	Name: "telemetry.max.bytes", Default: 1 << 20,
	Check: AtLeast[int32](1),
	Mark:  Accept,
	Doc:   "Largest push of client metrics (KIP-714), in bytes; Kafka 3.9 takes them under KRaft only, so it has no effect.",
})
