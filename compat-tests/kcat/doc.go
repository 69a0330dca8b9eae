// Package kcat holds checks that drive kcat (librdkafka) against the broker under test. There is no product code in it;
// see ../harness for how the broker is chosen. The name of a check says what holds, and is a row of docs/compatibility.md.
package kcat
