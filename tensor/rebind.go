package tensor

import "reflect"

// Rebind returns the operation with f's tensors in place of its own: f is called for each field that holds one, as
// often as a tensor occurs. The operation itself stays as it is.
func Rebind(o Op, f func(*Tensor) *Tensor) Op {
	v := reflect.New(reflect.TypeOf(o)).Elem()
	v.Set(reflect.ValueOf(o))
	rebind(v, f)
	return v.Interface().(Op)
}

func rebind(v reflect.Value, f func(*Tensor) *Tensor) {
	switch v.Kind() {
	case reflect.Pointer:
		if t, ok := v.Interface().(*Tensor); ok && t != nil {
			v.Set(reflect.ValueOf(f(t)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				rebind(v.Field(i), f)
			}
		}
	case reflect.Slice:
		fresh := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(fresh, v)
		for i := range v.Len() {
			rebind(fresh.Index(i), f)
		}
		v.Set(fresh)
	}
}
