package shardstate

// Inspect reads an object from outside: it reports how far the state under a key is
// true, or what is wrong with the object. The state itself, which is its consumer's,
// is inflated at most. Errors wrap telemetry.ErrInvalid.
func Inspect(key string, body []byte) (Sequence, error) {
	o, err := parseObject(key, body)
	if err != nil {
		return "", err
	}
	const mostBytes = 64 << 20
	c, err := newCompressor(mostBytes)
	if err != nil {
		return "", err
	}
	defer c.decoder.Close()
	if _, err := c.stateOf(o); err != nil {
		return "", err
	}
	return o.watermark, nil
}
