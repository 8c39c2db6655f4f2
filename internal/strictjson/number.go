package strictjson

const (
	// maxDigits is what the widest decimal types of the systems hold.
	maxDigits = 38
	// maxExponent is a double's range: nothing that any JSON library wrote from a number lies beyond.
	maxExponent = 308
	// maxNumber bounds a number's spelling: maxExponent digits on one side of the point, and room for the rest.
	maxNumber = 400
)

// number scans a number and refuses those that would not survive: more than maxDigits from the first to the last digit
// that is not zero, a magnitude (for zero: a written exponent) beyond ten to the ±maxExponent, or more than maxNumber
// bytes.
func (s *scanner) number() rule {
	begin := s.at
	if s.body[s.at] == '-' {
		s.at++
	}
	var d decimal
	switch {
	case s.at == len(s.body):
		return unfinished
	case s.body[s.at] == '0':
		s.at++
	default:
		if !s.digits(&d) {
			return s.notADigit()
		}
	}
	d.point = d.digits
	if s.at < len(s.body) && s.body[s.at] == '.' {
		s.at++
		if !s.digits(&d) {
			return s.notADigit()
		}
	}
	exponent := 0
	if s.at < len(s.body) && s.body[s.at]|0x20 == 'e' {
		s.at++
		sign := 1
		if s.at < len(s.body) && (s.body[s.at] == '+' || s.body[s.at] == '-') {
			if s.body[s.at] == '-' {
				sign = -1
			}
			s.at++
		}
		from := s.at
		for s.at < len(s.body) && isDigit(s.body[s.at]) {
			exponent = min(exponent*10+int(s.body[s.at]-'0'), maxNumber*10)
			s.at++
		}
		if s.at == from {
			return s.notADigit()
		}
		exponent *= sign
	}
	broken := d.survives(exponent)
	if s.at-begin > maxNumber {
		broken = tooLarge
	}
	if broken != fine {
		s.at = begin
	}
	return broken
}

// decimal is what the digits of a number come to.
type decimal struct {
	// digits is how many were read; first and last number, from 1, those that are not zero; 0 while there is none.
	digits, first, last int
	// point is how many digits stand before the decimal point; the lone 0 there is not counted.
	point int
}

// digits reads a run of digits; ok is false when there is none.
func (s *scanner) digits(d *decimal) (ok bool) {
	begin := s.at
	for s.at < len(s.body) && isDigit(s.body[s.at]) {
		d.digits++
		if s.body[s.at] != '0' {
			d.last = d.digits
			if d.first == 0 {
				d.first = d.digits
			}
		}
		s.at++
	}
	return s.at > begin
}

// survives checks precision and magnitude.
func (d decimal) survives(exponent int) rule {
	magnitude := exponent
	if d.first > 0 {
		magnitude += d.point - d.first
	}
	switch {
	case d.first > 0 && d.last-d.first+1 > maxDigits:
		return tooPrecise
	case magnitude > maxExponent || magnitude < -maxExponent:
		return tooLarge
	}
	return fine
}

func (s *scanner) notADigit() rule {
	if s.at == len(s.body) {
		return unfinished
	}
	return s.unexpected()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
