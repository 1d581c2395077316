{{- define "dunlin.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end }}
{{- define "dunlin.selector" -}}
app.kubernetes.io/name: dunlin
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "dunlin.labels" -}}
{{ include "dunlin.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
{{- define "dunlin.secret" -}}
{{- .Values.existingSecret | default (printf "%s-users" (include "dunlin.name" .)) -}}
{{- end }}
{{- define "dunlin.configuration" -}}
{{- .Values.configuration | default (.Files.Get "files/dunlin.toml") -}}
{{- end }}
