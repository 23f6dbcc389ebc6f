package shardstate

// Inspect checks an object outside its consumer and returns its watermark. It
// decompresses the state but does not decode it. Errors wrap telemetry.ErrInvalid.
func Inspect(key string, body []byte) (Sequence, error) {
	o, err := parseObject(key, body)
	if err != nil {
		return "", err
	}
	const maxStateBytes = 64 << 20
	c, err := newCompressor(maxStateBytes)
	if err != nil {
		return "", err
	}
	defer c.decoder.Close()
	if _, err := c.stateOf(o); err != nil {
		return "", err
	}
	return o.watermark, nil
}
