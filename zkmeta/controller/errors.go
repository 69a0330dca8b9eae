package controller

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A wireError is an error whose text the client gets to see.
type wireError struct {
	code    *kerr.Error
	message string
}

func (e *wireError) Error() string { return e.message }
func (e *wireError) Unwrap() error { return e.code }

// wireCode is what a response says of err.
func wireCode(err error) (int16, *string) {
	var w *wireError
	if errors.As(err, &w) {
		return w.code.Code, &w.message
	}
	var code *kerr.Error
	if errors.As(err, &code) {
		return code.Code, &code.Description
	}
	return kerr.UnknownServerError.Code, &kerr.UnknownServerError.Description
}
