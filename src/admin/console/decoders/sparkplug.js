// Sparkplug B (Eclipse Sparkplug 3.0): payloads below spBv1.0/.
import { read } from "./wire.js";

const message = (rows) => ({ fields: new Map(rows.map(([number, name, type, repeated]) => [number, { name, type, repeated: Boolean(repeated) }])) });

const TYPES = {
    Payload: message([[1, "timestamp", "uint64"], [2, "metrics", "Metric", 1], [3, "seq", "uint64"], [4, "uuid", "string"], [5, "body", "bytes"]]),
    Metric: message([
        [1, "name", "string"], [2, "alias", "uint64"], [3, "timestamp", "uint64"], [4, "datatype", "uint32"], [5, "is_historical", "bool"], [6, "is_transient", "bool"],
        [7, "is_null", "bool"], [8, "metadata", "MetaData"], [9, "properties", "PropertySet"], [10, "int_value", "uint32"], [11, "long_value", "uint64"],
        [12, "float_value", "float"], [13, "double_value", "double"], [14, "boolean_value", "bool"], [15, "string_value", "string"], [16, "bytes_value", "bytes"],
        [17, "dataset_value", "DataSet"], [18, "template_value", "Template"],
    ]),
    MetaData: message([[1, "is_multi_part", "bool"], [2, "content_type", "string"], [3, "size", "uint64"], [4, "seq", "uint64"], [5, "file_name", "string"], [6, "file_type", "string"], [7, "md5", "string"], [8, "description", "string"]]),
    PropertySet: message([[1, "keys", "string", 1], [2, "values", "PropertyValue", 1]]),
    PropertyValue: message([[1, "type", "uint32"], [2, "is_null", "bool"], [3, "int_value", "uint32"], [4, "long_value", "uint64"], [5, "float_value", "float"], [6, "double_value", "double"], [7, "boolean_value", "bool"], [8, "string_value", "string"], [9, "propertyset_value", "PropertySet"], [10, "propertysets_value", "PropertySetList"]]),
    PropertySetList: message([[1, "propertyset", "PropertySet", 1]]),
    DataSet: message([[1, "num_of_columns", "uint64"], [2, "columns", "string", 1], [3, "types", "uint32", 1], [4, "rows", "Row", 1]]),
    Row: message([[1, "elements", "DataSetValue", 1]]),
    DataSetValue: message([[1, "int_value", "uint32"], [2, "long_value", "uint64"], [3, "float_value", "float"], [4, "double_value", "double"], [5, "boolean_value", "bool"], [6, "string_value", "string"]]),
    Template: message([[1, "version", "string"], [2, "metrics", "Metric", 1], [3, "parameters", "Parameter", 1], [4, "template_ref", "string"], [5, "is_definition", "bool"]]),
    Parameter: message([[1, "name", "string"], [2, "type", "uint32"], [3, "int_value", "uint32"], [4, "long_value", "uint64"], [5, "float_value", "float"], [6, "double_value", "double"], [7, "boolean_value", "bool"], [8, "string_value", "string"]]),
};

const NAMES = ["Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean", "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList"];

// Integers with a sign are sent without one.
const signed = (value, datatype) => {
    const bits = { 1: 8, 2: 16, 3: 32, 4: 64 }[datatype];
    if (!bits) return value;
    const number = BigInt.asIntN(bits, BigInt(value));
    return bits < 64 || (number >= BigInt(Number.MIN_SAFE_INTEGER) && number <= BigInt(Number.MAX_SAFE_INTEGER)) ? Number(number) : number.toString();
};

const time = (milliseconds) => new Date(Number(milliseconds)).toISOString();

const metric = (one) => {
    const { datatype, timestamp, ...rest } = one;
    const shown = {};
    for (const [name, value] of Object.entries(rest)) {
        if (name === "int_value" || name === "long_value") shown.value = datatype === 13 ? time(value) : signed(value, datatype);
        else if (name === "template_value") shown.value = { ...value, metrics: value.metrics?.map(metric) };
        else shown[name.endsWith("_value") ? "value" : name] = value;
    }
    if (datatype !== undefined) shown.datatype = NAMES[datatype] ?? datatype;
    if (timestamp !== undefined) shown.timestamp = time(timestamp);
    return shown;
};

export const decode = (data) => {
    const payload = read(data, TYPES.Payload, (type) => TYPES[type]);
    return { ...payload, ...(payload.timestamp !== undefined ? { timestamp: time(payload.timestamp) } : {}), metrics: payload.metrics?.map(metric) };
};
