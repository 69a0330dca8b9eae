// Package java has checks with Kafka's own Java clients, of a 3 and of a 4 release: small programs in programs/, compiled
// with the jars of each version, run as processes against the broker under test.
//
// A program is one class with a main that takes key=value arguments (programs/Options.java), prints what it saw to
// standard output, line by line, for the test to judge, and ends with an exit code other than 0 when it fails. A program
// that only compiles with one version lives in programs/VERSION/. The test runs it through harness.NewJavaClients:
//
//	func TestX(t *testing.T) {
//		eachVersion(t, "what holds", func(t *testing.T, j *harness.JavaClients) {
//			lines := j.Run(t, time.Minute, "Produce", "bootstrap="+harness.Bootstrap(t), "topic="+topic(t, 3))
//			...
//		})
//	}
package java
