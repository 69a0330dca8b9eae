// Package churn keeps groups of mixed clients (franz-go, kcat, a current librdkafka, and with thirty members or more Java 3.9.2 and 4.3.1; classic and,
// where it is served, KIP-848 groups) in motion on three brokers: members join, leave, crash and are stopped for longer than
// their session lasts, while brokers, coordinators among them, are killed and started again. Afterwards no record may have been
// skipped, no committed offset may ever have gone back, and every group must be stable and at the end of the log.
//
// CHURN_TIME says how long (20s), CHURN_MEMBERS how many members at most (12). `make churn` runs five minutes with sixty.
package churn
