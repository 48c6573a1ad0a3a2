{{- define "specwatch.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "specwatch.selector" -}}
app.kubernetes.io/name: specwatch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "specwatch.labels" -}}
{{ include "specwatch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "specwatch.config" -}}
{{- $fixed := dict "host" "0.0.0.0" "port" 30000 "lame_duck_seconds" .Values.lameDuckSeconds "shutdown_grace_seconds" .Values.shutdownGraceSeconds -}}
{{- mergeOverwrite (deepCopy .Values.config) $fixed | toYaml -}}
{{- end -}}
