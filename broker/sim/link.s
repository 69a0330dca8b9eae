// Lets exact_test.go declare a function that the linker finds in the runtime.
